"""From a configuration to a running supervisor: begun anew, or gone on with."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping
from typing import NoReturn

from setproctitle import setproctitle

from proxy.errors import SipherdError
from proxy.sip import message
from workers import handover, priority, program_trial, signals
from workers.adoption import Family, adopt, adopt_family, edition_of
from workers.child import ChildSpec
from workers.handover import Handover
from workers.holdings import Holdings, Journal
from workers.inheriting import VARIABLE
from workers.policy import run_script
from workers.settings import Config
from workers.signals import Waiter
from workers.supervisor import Supervisor
from workers.system import RealSystem
from workers.systemd import ServiceManager, handed_down
from workers.version import VERSION


def start(config: Config) -> int:
    """Run the server of `config`; the exit status."""
    refuse_uncompiled(config)
    from workers.roles import child_specs  # loads every child's modules: forks are warm

    return serve(config, child_specs(config))


def serve(config: Config, specs: list[ChildSpec]) -> int:
    """Run a server with these children; the exit status."""
    setproctitle("sipherd: supervisor")
    signals.block()
    manager = ServiceManager.from_environment(os.environ)
    if not handover.is_waiting(os.environ):
        return _supervise(specs, _open(config, manager))
    state = handover.read(os.environ)
    if handover.is_trial(os.environ):
        return _try(config, specs, state)
    try:
        holdings, family = adopt(config, state, manager), adopt_family(state, specs)
    except Exception as error:  # noqa: BLE001 - whatever it is, there is somebody to go on
        reason = str(error) if isinstance(error, SipherdError) else repr(error)
        give_back(reason, manager.environment)
    handover.accept(state, os.environ)
    holdings.tables.slots.say_version(0, VERSION)
    holdings.log.notice("took over", version=VERSION, children=len(family.slots))
    return _supervise(specs, holdings, family, state.reload_asked)


def _open(config: Config, manager: ServiceManager) -> Holdings:
    try:
        journal = Journal.open(config)
        return Holdings.open(config, journal, manager, handed_down(os.environ))
    except OSError as error:
        raise _refusal(error) from None


def _refusal(error: OSError) -> SipherdError:
    what = f"{error.filename} cannot be used" if error.filename else "the system refuses"
    return SipherdError(f"{what}: {error.strerror}.")


def _supervise(
    specs: list[ChildSpec],
    holdings: Holdings,
    adopted: Family | None = None,
    reload_asked: bool = False,
) -> int:
    try:
        waiter = Waiter()
    except OSError as error:
        raise _refusal(error) from None
    waiter.watch(holdings.journal.pipe.reader, holdings.journal.pass_on)
    waiter.watch(holdings.ready[0])
    gc.collect()
    gc.freeze()  # what exists now is never collected, so children go on sharing its pages
    priority.go_first()
    supervisor = Supervisor(specs, holdings, RealSystem(waiter), adopted)
    if reload_asked:
        supervisor.reload.ask()
    return supervisor.run()


def _try(config: Config, specs: list[ChildSpec], state: Handover) -> int:
    """Do everything that taking over takes, but for doing it."""
    holdings = adopt(config, state, ServiceManager())
    adopt_family(state, specs)
    run_script(holdings.script, config.routing.script).test_itself()
    program_trial.say_ready()
    return 0


def kept_config() -> Config | None:
    """The configuration that this program had before it is given back what it handed over."""
    if not handover.is_waiting(os.environ):
        return None
    own = handover.read(os.environ).own
    return None if own is None else edition_of(own).config


def give_back(reason: str, environment: Mapping[str, str] = {}) -> NoReturn:
    """Let the program before go on, for this one cannot."""
    state = handover.read(os.environ)
    if state.before is None:
        raise SipherdError(f"there is no program to go on: {reason}")
    program = state.before.command.program
    state = handover.returned(state, f"version {VERSION}: {reason}")
    os.close(int(os.environ[VARIABLE]))
    fd = handover.write(state)
    program.take_over({**environment, VARIABLE: str(fd)}, [fd, *state.descriptors()])


def refuse_uncompiled(config: Config) -> None:
    """Refuse to serve with the slow sources by mistake."""
    if not config.workers.pure and (message.__file__ or "").endswith(".py"):
        raise SipherdError(
            f"the compiled modules are missing under {sys.prefix}: build them with ./run or "
            "`pip install -e .`, or set [workers] pure = true to run the slow sources."
        )
