"""The command line's own logic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.shm.dialog_table import DialogTable
from proxy.shm.layout import NOBODY
from proxy.shm.location_table import LocationTable
from workers import cli


@pytest.mark.parametrize(
    ("words", "params"),
    [
        ([], {}),
        (["location", "alice"], ["location", "alice"]),
        (["aor=12345", "counter=2"], {"aor": "12345", "counter": "2"}),
        (["contact=sip:a@b;x=y"], {"contact": "sip:a@b;x=y"}),
        (["location", "sip:a@b;x=y"], ["location", "sip:a@b;x=y"]),
        (["statistics=a:", "statistics=b:", "statistics=c"], {"statistics": ["a:", "b:", "c"]}),
        (['statistics=["a:", "b:"]'], {"statistics": ["a:", "b:"]}),
        (["x=[not json"], {"x": "[not json"}),
        (["x="], {"x": ""}),
    ],
)
def test_params(words: list[str], params: Any) -> None:
    assert cli.parse_params(words) == params


def called(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    monkeypatch.setattr("sys.argv", ["sipherd", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return ended.value.code or 0, out, err


def test_check_finds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.toml"
    (tmp_path / "policy.py").write_text("async def on_request(request): pass\n")
    file.write_text('[routing]\nscript = "policy.py"\n')
    status, out, err = called(capsys, monkeypatch, "check", "-c", str(file))
    assert (status, out, err) == (0, f"{file}: no mistakes.\n", "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(24, "Too many open files", "/etc/x"), "sipherd: /etc/x: Too many open files.\n"),
        (OSError(12, "Cannot allocate memory"), "sipherd: the system: Cannot allocate memory.\n"),
        (MemoryError(), "sipherd: the system gives no memory.\n"),
        (
            SystemError("error return without exception set"),
            "sipherd: the interpreter failed, as it does for want of memory: "
            "error return without exception set.\n",
        ),
    ],
)
def test_what_the_system_refuses_is_a_sentence(
    error: Exception,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(path: Path) -> Any:
        raise error

    monkeypatch.setattr(cli, "load", load)
    assert called(capsys, monkeypatch, "check", "-c", "s.toml") == (1, "", said)


def test_check_says_each_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.toml"
    file.write_text("[workers]\nudp = 0\nx = 1\n")
    status, out, err = called(capsys, monkeypatch, "check", "-c", str(file))
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        f"{file}:2: [workers] udp must be at least 1, not 0.",
        f"{file}:3: unknown setting [workers] x.",
    ]


def test_check_reads_the_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.toml"
    (tmp_path / "policy.py").write_text("x = 1\ndef f(:\n")
    file.write_text('[routing]\nscript = "policy.py"\n')
    status, _, err = called(capsys, monkeypatch, "check", "-c", str(file))
    assert status == 1
    assert err.startswith(f"{tmp_path}/policy.py:2: the routing script is no valid Python: ")


def test_ctl_without_a_server_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.toml"
    file.write_text("")
    status, out, err = called(capsys, monkeypatch, "ctl", "-c", str(file), "ps")
    assert (status, out) == (1, "")
    assert err == f"sipherd: no server answers at {tmp_path}/var/control.sock: " + (
        "No such file or directory.\n"
    )


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("[workers]\nudp = 0\nunknown = 1\n", "var"),
        ('[node]\nruntime_dir = "there"\nid = "x"\n', "there"),
        ('node = { runtime_dir = "there" }\n[listen]\nudp = 3\n', "there"),
        ('[node]\nruntime_dir = "there" # here\n[listen\n', "there"),
        ('node.runtime_dir = "there"\n= 3', "there"),
        ('[node]\nruntime_dir = "/there\n', "var"),
        ("node = 3", "var"),
        ("[[node]]", "var"),
        ("=", "var"),
    ],
)
def test_ctl_finds_the_server_of_a_broken_file(
    text: str,
    folder: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text)
    status, _, err = called(capsys, monkeypatch, "ctl", "-c", str(file), "ps")
    assert status == 1
    assert err.startswith(f"sipherd: no server answers at {tmp_path}/{folder}/control.sock: ")


def test_ctl_needs_to_know_where_the_server_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.toml"
    file.write_text("[node]\nruntime_dir = 3\n")
    said = f"{file}:2: [node] runtime_dir must be the name of a folder.\n"
    assert called(capsys, monkeypatch, "ctl", "-c", str(file), "ps") == (1, "", said)


def test_table_check_of_a_missing_file_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, err = called(capsys, monkeypatch, "table", "check", str(tmp_path / "none"))
    assert status == 1
    assert err.startswith(f"sipherd: {tmp_path}/none ")


def test_table_check_counts_what_an_operator_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = LocationTable.create(str(tmp_path / "location.table"), 100)
    for key, units in ((b"alice", 2), (b"bob", 1), (b"carol", NOBODY), (b"dave", NOBODY)):
        table.commit(key, 0, b"payload", 50, units)
    table.close(True)
    status, out, _ = called(capsys, monkeypatch, "table", "check", str(tmp_path / "location.table"))
    assert status == 0
    assert ": no faults; 2 users, 3 contacts, 2 removed users, " in out


def test_every_table_that_is_kept_can_be_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dialogs.table"
    DialogTable.create(str(path), 100).close(True)
    status, out, _ = called(capsys, monkeypatch, "table", "check", str(path))
    assert status == 0
    assert out.startswith(f"{path}: no faults; 0 records")
