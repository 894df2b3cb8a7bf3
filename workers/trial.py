"""A new configuration on trial, in a process of its own: nothing that is wrong with it matters.

What the trial has to say lies in the area of editions when it has ended.
"""

from __future__ import annotations

import os
import pickle
import signal
import traceback
from dataclasses import dataclass
from typing import Final

from proxy.errors import ConfigError
from workers import memory, priority, signals
from workers.child import ExitCode
from workers.config import load
from workers.edition import Area, Edition
from workers.live_settings import mistakes
from workers.policy import compile_script, run_script
from workers.settings import Config

DEADLINE_S: Final = 30
GENTLE_S: Final = 3  # with what others leave of the processors
NO_MEMORY: Final = os.EX_OSERR  # its exit status where even a sentence would take too much


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a configuration cannot be taken over, one sentence each."""

    mistakes: list[str]


def read_edition(running: Config) -> Edition:
    """The edition that the files describe now. Raises ConfigError with every mistake in them."""
    config = load(running.path)
    if wrong := mistakes(running, config):
        raise ConfigError([f"{config.path}: {sentence}." for sentence in wrong])
    script = compile_script(config.routing.script)
    run_script(script, config.routing.script).test_itself()
    return Edition(config, script)


def run_trial(area: Area, running: Config, supervisor: int, nice: int) -> int:
    """Be the trial, in a process just forked; its exit status."""
    try:
        priority.step_back(nice)
        area.put(_verdict(running, supervisor))
    except MemoryError:
        return NO_MEMORY
    except BaseException:  # noqa: BLE001 - here ends everything that it has
        traceback.print_exc()
        return ExitCode.CRASHED
    return ExitCode.OK


def _verdict(running: Config, supervisor: int) -> bytes:
    try:
        signals.die_with_parent(supervisor)
        signals.enter_child()
        signal.alarm(DEADLINE_S)
        memory.bound(running.workers.memory_mb)
        return read_edition(running).encoded()
    except ConfigError as error:
        return pickle.dumps(Refusal(error.mistakes))
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - a script may raise anything, or sys.exit()
        return pickle.dumps(Refusal([f"{running.path}: {error!r} while it was tried."]))
