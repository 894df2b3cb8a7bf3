"""Log lines: their shape, their limit per cause, and that nobody waits for them."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import logs
from workers.logs import (
    BURST,
    LINE_BYTES,
    PERIOD_S,
    Log,
    LogPipe,
    LogSink,
    LogStyle,
    RateLimit,
    json_line,
    text_line,
)
from workers.shared_page import SharedPage

WHEN = datetime(2026, 1, 2, 3, 4, 5, 678_900, UTC)


def log(lines: list[bytes], *, level: str = "info", json: bool = False) -> Log:
    def write(line: bytes) -> bool:
        lines.append(line)
        return True

    return Log(LogStyle("udp worker 1", 3, json), SharedPage(level), write)


@pytest.mark.parametrize("error", [OSError(5, "I/O"), MemoryError()])
def test_nobody_fails_because_he_cannot_say_what_he_does(error: Exception) -> None:
    def write(line: bytes) -> bool:
        raise error

    said = Log(LogStyle("control", 3, False), SharedPage("info"), write)
    said.notice("it happened")
    assert said.dropped == 1


def test_text() -> None:
    fields: dict[str, object] = {"a": 1, "b": b"x y\r\n", "c": 'say "no"', "d": "", "e": 0.25}
    line = text_line(WHEN, "info", "control[7]", "it happened", fields)
    assert line == (
        b"2026-01-02T03:04:05.678Z info control[7]: it happened "
        b'a=1 b="x y\\r\\n" c="say \\"no\\"" d="" e=0.25\n'
    )


def test_json() -> None:
    line = json_line(WHEN, "info", "control[7]", "it happened", {"a": 1, "b": b"\xffx"})
    assert orjson.loads(line) == {
        "time": "2026-01-02T03:04:05.678Z",
        "level": "info",
        "process": "control",
        "pid": 7,
        "event": "it happened",
        "a": 1,
        "b": "\\xffx",
    }


@given(
    st.sampled_from([text_line, json_line]),
    st.dictionaries(
        st.text("abc", min_size=1),
        st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.none(), st.booleans()),
    ),
)
def test_always_one_short_line(render: object, fields: dict[str, object]) -> None:
    line: bytes = render(WHEN, "info", "p[1]", "event", fields)  # type: ignore[operator]
    assert line.endswith(b"\n")
    assert len(line.splitlines()) == 1
    assert len(line) <= LINE_BYTES


@pytest.mark.parametrize("render", [text_line, json_line])
def test_long_values_are_cut(render: object) -> None:
    fields: dict[str, object] = {f"k{n}": "x" * 3_000 for n in range(20)}
    line: bytes = render(WHEN, "info", "p[1]", "event", fields)  # type: ignore[operator]
    assert len(line) <= LINE_BYTES
    if render is json_line:
        assert orjson.loads(line)["event"] == "event"


def test_levels() -> None:
    lines: list[bytes] = []
    quiet = log(lines, level="warning")
    quiet.debug("a")
    quiet.info("b")
    quiet.notice("c")
    quiet.warning("d")
    quiet.error("e")
    assert [line.split()[-1] for line in lines] == [b"d", b"e"]
    assert not quiet.enabled("info")


def test_one_page_sets_the_level_of_all() -> None:
    page = SharedPage("error")
    first = Log(LogStyle("a", 1, False), page, lambda line: True)
    second = Log(LogStyle("b", 2, False), page, lambda line: True)
    page.set_level(4, row=2)
    assert (first.enabled("debug"), second.enabled("debug")) == (False, True)
    page.set_level(3)
    assert (first.enabled("info"), second.enabled("debug")) == (True, False)
    assert page.level(1) == 3


def test_a_cause_is_limited_and_the_next_line_says_how_much() -> None:
    limit = RateLimit()
    given = [limit.admit("x", n / 100) for n in range(BURST + 30)]
    assert given == [0] * BURST + [-1] * 30
    assert limit.admit("other", 1.0) == 0
    assert limit.admit("x", PERIOD_S + 0.1) == 30
    assert limit.admit("x", PERIOD_S + 0.2) == 0


def test_causes_are_bounded() -> None:
    limit = RateLimit()
    for number in range(logs.CAUSES * 3):
        limit.admit(str(number), 0.0)
    assert len(limit._causes) <= logs.CAUSES


def test_a_full_pipe_costs_the_line_only() -> None:
    pipe = LogPipe()
    talker = Log(LogStyle("a", 1, False), SharedPage(), pipe.write)
    for number in range(2_000):
        talker.info(f"event {number}", text="x" * 2_000)
    assert talker.dropped > 0
    taken = b""
    while piece := pipe.read():
        taken += piece
    assert taken.count(b"\n") == 2_000 - talker.dropped


def test_a_sink_never_waits_and_bounds_what_it_holds() -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    kept = os.dup(2)
    try:
        os.dup2(writer, 2)
        sink = LogSink(None)
    finally:
        os.dup2(kept, 2)
    for _ in range(200):
        sink.write(b"x" * 9_999 + b"\n")
    assert sink.waiting
    assert sink.dropped > 0
    before = sink.dropped
    total = 0
    while sink.waiting:
        total += len(os.read(reader, 1 << 20))
        sink.flush()
    assert total + len(os.read(reader, 1 << 20)) == (200 - before) * 10_000


@pytest.mark.parametrize(
    ("number", "lines"), [(errno.ENOSPC, b"one\ntwo\n"), (errno.EPIPE, b"two\n")]
)
def test_what_a_full_disk_does_not_take_waits_for_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, lines: bytes
) -> None:
    sink = LogSink(tmp_path / "log")

    def refuse(fd: int, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        sink.write(b"one\n")
    assert sink.waiting == (number == errno.ENOSPC)
    assert sink.dropped == (number == errno.EPIPE)
    sink.write(b"two\n")
    assert (tmp_path / "log").read_bytes() == lines


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"first\n")
    sink = LogSink(file)
    sink.write(b"second\n")
    assert file.read_bytes() == b"first\nsecond\n"
