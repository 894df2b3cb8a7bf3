"""The configuration: defaults, and a sentence with a line for every mistake."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from proxy.errors import ConfigError
from workers.config import load
from workers.setting_types import Endpoint, parse_endpoint
from workers.settings import Config

ROOT = Path(__file__).resolve().parents[3]


def mistakes(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert all(each.startswith(f"{file}:") and each.endswith(".") for each in caught.value.mistakes)
    return [each.removeprefix(f"{file}:").removesuffix(".") for each in caught.value.mistakes]


def loaded(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "s.toml"
    file.write_text(text)
    return load(file)


def test_an_empty_file_is_a_configuration(tmp_path: Path) -> None:
    config = loaded(tmp_path, "")
    assert config.listen.udp == (Endpoint("127.0.0.1", 5060),)
    assert config.workers.udp == 2
    assert config.node.runtime_dir == tmp_path / "var"
    assert config.folder == tmp_path
    assert config.log.file is None


def test_name_servers_listen_on_port_53_unless_told(tmp_path: Path) -> None:
    config = loaded(tmp_path, '[resolver]\nnameservers = ["192.0.2.1", "[2001:db8::1]:53"]')
    assert [str(each) for each in config.resolver.nameservers] == [
        "192.0.2.1:53",
        "[2001:db8::1]:53",
    ]


def test_the_names_of_the_design(tmp_path: Path) -> None:
    (tmp_path / "routing.py").touch()
    config = loaded(
        tmp_path,
        """
[node]
id = 7
domains = ["Example.COM", "b.example."]
secret = "0123456789abcdef"
runtime_dir = "run"
[listen]
udp = ["127.0.0.1:5060", "[::1]:5062", "192.0.2.1"]
[workers]
udp = 4
[location]
capacity = 1_000
[registrar]
default_expires = 600
min_expires = 30
max_expires = 900
max_contacts = 3
expires_jitter = 0
[routing]
script = "routing.py"
[log]
level = "debug"
format = "json"
file = "../sip.log"
""",
    )
    assert config.node.domains == ("example.com", "b.example")
    assert config.node.runtime_dir == tmp_path / "run"
    assert [str(each) for each in config.listen.udp] == [
        "127.0.0.1:5060",
        "[::1]:5062",
        "192.0.2.1:5060",
    ]
    assert config.registrar.expires_jitter == 0
    assert config.routing.script == tmp_path / "routing.py"
    assert config.log.file == tmp_path.parent / "sip.log"


def test_it_is_frozen(tmp_path: Path) -> None:
    config = loaded(tmp_path, "")
    with pytest.raises(ValidationError):
        config.workers.udp = 3  # type: ignore[misc]


def test_all_mistakes_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        """\
nodee = 3
[node]
id = 0
domains = ["exa mple", "ok.example"]
secret = "short"
bogus = 1
[listen]
udp = [
  "127.0.0.1:5060",
  "localhost:5060",
  '0.0.0.0',
  "[::1]:99999",
  3,
]
[workers]
udp = "two"
pure = 1
hang_seconds = nan
[location]
capacity = true
[registrar]
min_expires = 9000
expires_jitter = "x"
[routing]
script = "missing.py"
[log]
level = "loud"
[dialogue]
enabled = true
""",
    )
    assert found == [
        "1: unknown section [nodee]",
        "3: [node] id must be at least 1, not 0",
        '4: [node] domains "exa mple" is not a domain name',
        "5: [node] secret must have at least 16 characters",
        "6: unknown setting [node] bogus",
        '8: [listen] udp 3 must be text such as "192.0.2.1:5060"',
        '10: [listen] udp "localhost:5060" is no address: '
        'write "192.0.2.1:5060" or "[2001:db8::1]:5060", not a name',
        '11: [listen] udp "0.0.0.0" stands for any address, '
        "but Via needs one to name: list the addresses",
        '12: [listen] udp "[::1]:99999" has a port outside 1 to 65535',
        '16: [workers] udp must be a whole number, not "two"',
        "17: [workers] pure must be true or false, not 1",
        "18: [workers] hang_seconds must be a finite number, not NaN",
        "20: [location] capacity must be a whole number, not true",
        '23: [registrar] expires_jitter must be a number, not "x"',
        '25: [routing] script "missing.py" cannot be read: No such file or directory',
        "27: [log] level must be 'debug', 'info', 'notice', 'warning' or 'error', not \"loud\"",
        "28: unknown section [dialogue]",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[workers]\nudp = 0", "2: [workers] udp must be at least 1, not 0"),
        ("[workers]\nudp = 65", "2: [workers] udp must be at most 64, not 65"),
        ("workers = 3", "1: [workers] is a section: write [workers] on a line of its own"),
        ("path = 3", "1: unknown setting path"),
        ("[listen]\nudp = []", "2: [listen] udp must have at least 1 entry, not []"),
        (
            '[resolver]\nnameservers = ["192.0.2.1", "dns.example"]',
            '2: [resolver] nameservers "dns.example" is no address: write "192.0.2.1:53" or '
            '"[2001:db8::1]:53", not a name',
        ),
        (
            '[resolver]\nnameservers = ["192.0.2.1", "192.0.2.2:5353"]',
            "1: [resolver] nameservers must all listen on the same port",
        ),
        (
            '[listen]\nudp = ["127.0.0.1", "127.0.0.1:5060"]',
            "1: [listen] udp names an address twice",
        ),
        (
            "[registrar]\nmin_expires = 4000",
            "1: [registrar] needs min_expires <= default_expires <= max_expires",
        ),
        (
            '[node]\nruntime_dir = "a\\u0000b"',
            '2: [node] runtime_dir "a\\u0000b" must be the name of a file or folder',
        ),
        (
            f'[node]\nruntime_dir = "{"x" * 300}"',
            f'2: [node] runtime_dir "{"x" * 76}... cannot be read: File name too long',
        ),
        (
            '[listen]\nudp = ["127.0.0.1", "255.255.255.255"]',
            '2: [listen] udp "255.255.255.255" must be a unicast address without a zone',
        ),
        ("[node]\nid = ", "2: this is not TOML: Invalid value"),
        ('[node]\nid = "', "2: this is not TOML: Illegal character '\\n'"),
    ],
)
def test_one_mistake(tmp_path: Path, text: str, sentence: str) -> None:
    if text.endswith('"'):
        text += "\n"
    assert mistakes(tmp_path, text) == [sentence]


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    assert "hunter2" not in " ".join(mistakes(tmp_path, '[node]\nsecret = "hunter2"'))


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read: No such file"):
        load(tmp_path / "missing.toml")


def test_bytes_that_are_no_text_are_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(file)


@pytest.mark.parametrize(
    "text",
    ["::1", "[::1", "::1]:5060", "[1.2.3.4.5]", "1.2.3.4:", "1.2.3.4:0", "", "[fe80::1%lo]:5060"],
)
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|port"):
        parse_endpoint(text)


def test_the_shipped_file_says_the_defaults() -> None:
    shipped = tomllib.loads((ROOT / "conf" / "sipherd.toml").read_text())
    defaults = Config()
    for name in ("listen", "workers", "location", "registrar", "limits", "log"):
        section = type(getattr(defaults, name)).model_validate(shipped[name])
        assert section == getattr(defaults, name)


def test_the_shipped_file_names_every_setting() -> None:
    text = (ROOT / "conf" / "sipherd.toml").read_text()
    for section, field in Config.model_fields.items():
        if section == "path":
            continue
        assert f"[{section}]" in text
        for key in field.annotation.model_fields:  # type: ignore[union-attr]
            assert f"\n{key} = " in text or f"\n# {key} = " in text, key


def test_a_database_that_is_named_is_used_and_the_default_is_not(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    for text, used in (
        ("", False),
        ("[storage]\nparked = 5\n", False),
        ('[storage]\nurls = ["sqlite:///x.db"]\n', True),
        ("[auth]\nenabled = true\n", True),
        ('[storage]\nmode = "single-instance-sql-write-back"\n', True),
    ):
        file.write_text(text)
        assert load(file).uses_storage is used, text
