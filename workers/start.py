"""From a configuration to a running supervisor."""

from __future__ import annotations

import gc
import os
import sys

from setproctitle import setproctitle

from proxy.errors import SipherdError
from proxy.sip import message
from workers import priority, signals
from workers.child import ChildSpec
from workers.holdings import Holdings, Journal
from workers.settings import Config
from workers.signals import Waiter
from workers.supervisor import Supervisor
from workers.system import RealSystem
from workers.systemd import ServiceManager, handed_down


def start(config: Config) -> int:
    """Run the server of `config`; the exit status."""
    refuse_uncompiled(config)
    from workers.roles import child_specs  # loads every child's modules: forks are warm

    return serve(config, child_specs(config))


def serve(config: Config, specs: list[ChildSpec]) -> int:
    """Run a server with these children; the exit status."""
    setproctitle("sipherd: supervisor")
    signals.block()
    try:
        journal = Journal.open(config)
        manager = ServiceManager.from_environment(os.environ)
        holdings = Holdings.open(config, journal, manager, handed_down(os.environ))
        waiter = Waiter()
    except OSError as error:
        what = f"{error.filename} cannot be used" if error.filename else "the system refuses"
        raise SipherdError(f"{what}: {error.strerror}.") from None
    waiter.watch(journal.pipe.reader, journal.pass_on)
    waiter.watch(holdings.ready[0])
    gc.collect()
    gc.freeze()  # what exists now is never collected, so children go on sharing its pages
    priority.go_first()
    return Supervisor(specs, holdings, RealSystem(waiter)).run()


def refuse_uncompiled(config: Config) -> None:
    """Refuse to serve with the slow sources by mistake."""
    if not config.workers.pure and (message.__file__ or "").endswith(".py"):
        raise SipherdError(
            f"the compiled modules are missing under {sys.prefix}: build them with ./run or "
            "`pip install -e .`, or set [workers] pure = true to run the slow sources."
        )
