"""What one program leaves to the next: its form, and what is refused."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.limits import counters
from workers import handover
from workers.child import Exit
from workers.handover import Command, Crew, Handover, HandoverError, Image, Lineage, Place
from workers.inheriting import TRIAL, VARIABLE
from workers.live_settings import fixed, moved
from workers.program import Program
from workers.program_trial import ProgramTrial, Unfit
from workers.settings import Config
from workers.shared_page import shared_bytes


def command(version: str = "1") -> Command:
    return Command(executable="/opt/a/bin/python", arguments=("-m", "x"), path="", version=version)


def place(row: int, **values: Any) -> Place:
    usual = {
        "role": "control",
        "index": 0,
        "row": row,
        "image": 1,
        "generation": 0,
        "number": 0,
        "leaving": False,
        "pid": 100 + row,
        "stop_fd": -1,
        "started_at": 1.0,
        "up_at": 2.0,
        "ever_up": True,
        "heartbeat_at": 3.0,
        "respawn_at": None,
        "failures": (1.5,),
    }
    return Place(**{**usual, **values})


def form(**values: Any) -> Handover:
    usual = {
        "form": handover.FORM,
        "family": handover.FAMILY,
        "pid": os.getpid(),
        "image": 2,
        "command": command(),
        "before": None,
        "own": None,
        "failed": "",
        "reload_asked": False,
        "settings": {"node": {"id": 1}},
        "counters": counters.NAMES,
        "edition": 3,
        "nice": 0,
        "lock": shared_bytes(64),
        "files": {"x.table": shared_bytes(64)},
        "sockets": {},
        "events": {"readers": (os.eventfd(0),)},
        "pipes": {"log": os.pipe()},
        "children": (place(1),),
        "generations": (
            Crew(
                number=1,
                endpoints=("127.0.0.1:5060",),
                step="serving",
                deadline=float("inf"),
                version=0,
            ),
        ),
        "backlog": "\xff\n",
    }
    return Handover(**{**usual, **values})


def test_it_comes_through_a_file_as_it_was() -> None:
    before = Image(number=1, command=command(), edition="eA==", area=shared_bytes(64))
    given = form(before=before)
    fd = handover.write(given)
    found = handover.read({VARIABLE: str(fd)})
    assert found == given
    found.check()
    assert set(found.descriptors()) >= {found.lock, found.files["x.table"], before.area}


def test_what_another_version_says_besides_is_passed_over() -> None:
    text = json.loads(form().model_dump_json())
    text["new"] = {"a": 1}
    text["children"][0]["mood"] = "good"
    assert Handover.model_validate_json(json.dumps(text)).children[0].pid == 101


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: {"form": 2}, "stop the server and start it"),
        (lambda: {"family": 99}, "in another way"),
        (lambda: {"counters": ("core:x", *counters.NAMES)}, "counts other things"),
        (lambda: {"lock": os.eventfd(0)}, "should be a file"),
        (lambda: {"events": {"readers": os.pipe()}}, "should be a eventfd"),
        (lambda: {"pipes": {"log": (os.eventfd(0), os.eventfd(0))}}, "should be a pipe"),
        (lambda: {"sockets": {"127.0.0.1:1": (shared_bytes(1),)}}, "should be a socket"),
        (lambda: {"children": (place(1, stop_fd=shared_bytes(1)),)}, "should be a eventfd"),
        (lambda: {"files": dict.fromkeys("ab", shared_bytes(1))}, "the same descriptor"),
    ],
)
def test_what_does_not_fit_is_refused(change: Callable[[], dict[str, Any]], said: str) -> None:
    with pytest.raises(HandoverError, match=said):
        form(**change()).check()


def test_fewer_counters_than_ours_are_those_of_an_older_version() -> None:
    form(counters=counters.NAMES[:-3]).check()


@pytest.mark.parametrize(
    "environment",
    [{VARIABLE: "no number"}, {VARIABLE: str(2**30)}, {VARIABLE: str(shared_bytes(64))}],
)
def test_what_cannot_be_read_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(HandoverError, match="cannot be read"):
        handover.read(environment)


def test_it_is_for_one_process_alone() -> None:
    mine = {VARIABLE: str(handover.write(form()))}
    assert handover.read(mine).pid == os.getpid()
    with pytest.raises(HandoverError, match="another process's"):
        handover.read({**mine, TRIAL: "1"})
    parents = {VARIABLE: str(handover.write(form(pid=os.getppid()))), TRIAL: "1"}
    assert handover.read(parents).pid == os.getppid()


def test_what_is_given_back_is_what_the_one_before_had() -> None:
    before = Image(number=1, command=command("1"), edition="eA==", area=shared_bytes(64))
    back = handover.returned(form(before=before), "version 2: too bad")
    assert (back.image, back.before, back.own) == (1, None, before)
    lineage = Lineage.of(back)
    assert (lineage.number, lineage.before, lineage.failed) == (1, None, "version 2: too bad")


def test_a_program_is_found_where_links_led_when_it_was_started(tmp_path: Path) -> None:
    for version in "12":
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "sipherd").touch()
    link = tmp_path / "current"
    link.symlink_to("1")
    script = str(link / "bin" / "sipherd")
    program = Program(str(link / "bin" / "python"), (script, "run"), str(link), "1")
    before, sys.argv[0] = sys.argv[0], script
    try:
        pinned = program.pinned()
    finally:
        sys.argv[0] = before
    first = tmp_path / "1"
    assert pinned.executable == str(first / "bin" / "python")
    assert pinned.arguments == (str(first / "bin" / "sipherd"), "run")
    assert pinned.path == str(first)


def said(text: bytes) -> ProgramTrial:
    read, write = os.pipe2(os.O_NONBLOCK)
    os.write(write, text)
    os.close(write)
    return ProgramTrial(1, read)


def test_a_trial_says_its_version() -> None:
    assert said(b'noise\n{"version":"2"}\n').verdict(Exit(1, 0)) == "2"


@pytest.mark.parametrize(
    ("text", "exit", "words"),
    [
        (b"Traceback\n  line\nSyntaxError: bad\n\n", Exit(1, 1), "SyntaxError: bad (exit status 1"),
        (b"", Exit(1, None, 9), "it said nothing (killed by SIGKILL)"),
        (b"all is well\n", Exit(1, 0), "does not know how to take over"),
        (b"7\n", Exit(1, 0), "does not know how to take over"),
    ],
)
def test_a_trial_that_fails_says_why(text: bytes, exit: Exit, words: str) -> None:
    with pytest.raises(Unfit) as caught:
        said(text).verdict(exit)
    assert words in str(caught.value)


def test_settings_are_compared_where_both_versions_know_them() -> None:
    ours, theirs = fixed(Config()), fixed(Config())
    assert "max_expires" not in ours["registrar"], "a reload takes it over"
    del theirs["location"]["capacity"]
    theirs["node"]["new"] = 1
    assert moved(theirs, ours) == moved(ours, theirs) == []
    theirs["node"]["id"] = 7
    assert moved(ours, theirs)[0].startswith("[node] id cannot change while the server runs")
