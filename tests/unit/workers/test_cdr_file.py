"""The file of call detail records: appended, reopened, mended."""

from __future__ import annotations

from pathlib import Path

import orjson

from workers import cdr_file
from workers.cdr_file import CdrFile, dids_at_end


def detail(number: int) -> dict[str, object]:
    return {"did": f"1.1.{number}", "reason": "Downstream BYE"}


def test_a_line_for_each_call(tmp_path: Path) -> None:
    file = CdrFile(tmp_path / "cdr.jsonl")
    assert file.append([detail(1), detail(2)])
    lines = file.path.read_text().splitlines()
    assert [orjson.loads(line) for line in lines] == [detail(1), detail(2)]
    assert file.has("1.1.1")
    assert not file.has("1.1.3")


def test_a_renamed_file_is_let_go(tmp_path: Path) -> None:
    file = CdrFile(tmp_path / "cdr.jsonl")
    file.append([detail(1)])
    file.path.rename(tmp_path / "cdr.jsonl.1")
    file.append([detail(2)])
    assert dids_at_end(tmp_path / "cdr.jsonl.1") == ["1.1.1"]
    assert dids_at_end(file.path) == ["1.1.2"]
    assert file.has("1.1.1")


def test_the_next_process_knows_what_was_written_last(tmp_path: Path) -> None:
    CdrFile(tmp_path / "cdr.jsonl").append([detail(1)])
    (tmp_path / "cdr.jsonl").rename(tmp_path / "cdr.jsonl.1")
    CdrFile(tmp_path / "cdr.jsonl").append([detail(2)])
    heir = CdrFile(tmp_path / "cdr.jsonl")
    assert heir.open()
    assert heir.has("1.1.1")
    assert heir.has("1.1.2")


def test_a_torn_line_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "cdr.jsonl"
    path.write_bytes(orjson.dumps(detail(1)) + b'\n{"did":"1.1.2","rea')
    assert CdrFile(path).append([detail(2)])
    assert dids_at_end(path) == ["1.1.1", "1.1.2"]
    path.write_bytes(b"x" * 200_000)
    assert CdrFile(path).append([detail(3)])
    assert path.read_bytes() == orjson.dumps(detail(3)) + b"\n"


def test_lines_that_are_none_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "cdr.jsonl"
    path.write_bytes(b'half a line"}\n\n[1]\n{"no": 1}\n' + orjson.dumps(detail(1)) + b"\n")
    assert dids_at_end(path) == ["1.1.1"]


def test_a_write_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    file = CdrFile(Path("/dev/full"))
    assert not file.append([detail(1)])
    assert file.failure == "No space left on device"
    assert not file.has("1.1.1")


def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    file = CdrFile(tmp_path / "cdr.jsonl")
    file.append([detail(number) for number in range(cdr_file.REMEMBERED + 5)])
    assert not file.has("1.1.4")
    assert file.has("1.1.5")
