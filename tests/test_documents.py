"""The documents say what the program does: settings, commands, statistics, events, examples."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from proxy.limits import counters
from proxy.sip.message import Message
from tests.scenarios.telephone import Telephone
from tests.scenarios.world import World, address, policy_from
from workers import signals
from workers.child import ExitCode
from workers.policy import load_policy
from workers.policy_kit import PolicyKit
from workers.rehearsal import Sent
from workers.setting_types import Section
from workers.settings import Config

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
CONFIGURE = (DOCS / "configure.md").read_text()
OPERATE = (DOCS / "operate.md").read_text()
POLICY = (DOCS / "policy.md").read_text()


# -- configure.md ---------------------------------------------------------------------------------


def sections() -> Iterator[tuple[str, type[Section]]]:
    """Each section of the configuration with its model."""
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield name, field.annotation


def settings() -> list[tuple[str, str, object]]:
    """(section, key, default) of each setting."""
    return [
        (section, key, None if field.default is PydanticUndefined else field.default)
        for section, model in sections()
        for key, field in model.model_fields.items()
    ]


def rows(section: str) -> dict[str, list[str]]:
    """The cells of a section's table by the name of the setting."""
    _, heading, text = CONFIGURE.partition(f"\n## [{section}]\n")
    assert heading, f"docs/configure.md has no section [{section}]"
    body = re.split(r"^## ", text, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line.strip("|").split("|") for line in body.splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells] for cells in lines}


@pytest.mark.parametrize(("section", "key", "default"), settings())
def test_every_setting_is_documented(section: str, key: str, default: object) -> None:
    table = rows(section)
    assert key in table, f"docs/configure.md: [{section}] has no row for {key}"
    assert len(table[key]) == 4
    said = table[key][1].strip("`")
    if default is None:
        assert said == "none"
    elif key != "script":  # where the program lies depends on the installation
        shown = [str(each) for each in default] if isinstance(default, tuple) else default
        assert said == json.dumps(shown, default=str)


def test_no_setting_is_made_up() -> None:
    known = {(section, key) for section, key, _ in settings()}
    headings = re.findall(r"^## \[(\w+)\]$", CONFIGURE, re.MULTILINE)
    assert {(name, key) for name in headings for key in rows(name)} == known


def test_snippets_of_configuration_are_right() -> None:
    text = "\n".join(path.read_text() for path in [ROOT / "README.md", *DOCS.glob("*.md")])
    known = {section: set(model.model_fields) for section, model in sections()}
    for section, key in re.findall(r"`\[(\w+)\] (\w+)`", text):
        assert key in known[section], f"[{section}] {key}"
    install = (DOCS / "install.md").read_text()
    example = re.search(r"^    \[node\]\n(?:    .*\n|\n)*?(?=\S)", install, re.MULTILINE)
    assert example is not None
    parsed = tomllib.loads(re.sub("^    ", "", example[0], flags=re.MULTILINE))
    Config.model_validate(parsed, context={"folder": ROOT})


# -- operate.md -----------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, str]]:
    """Each command and its parameters as the table of commands writes them."""
    for path in sorted((ROOT / "workers" / "commands").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and is_command(node):
                names = [argument.arg for argument in node.args.args[1:]]
                needed = len(names) - len(node.args.defaults)
                words = [name if i < needed else f"[{name}]" for i, name in enumerate(names)]
                yield node.name, " ".join(words)


def is_command(node: ast.FunctionDef) -> bool:
    """Whether a function is marked as a command."""
    return any(isinstance(each, ast.Name) and each.id == "command" for each in node.decorator_list)


@pytest.mark.parametrize(("name", "takes"), list(commands()))
def test_every_command_is_documented(name: str, takes: str) -> None:
    cell = f"`{takes}`" if takes else ""
    assert re.search(rf"^\| `{name}` \| {re.escape(cell)} ?\|", OPERATE, re.MULTILINE)


def test_every_signal_is_documented() -> None:
    table = OPERATE.partition("### Signals")[2].partition("### ")[0]
    for number in signals.STOP | signals.QUIT | signals.UPGRADE:
        assert re.search(rf"\b{number.name.removeprefix('SIG')}\b", table), number.name


def test_every_exit_status_is_documented() -> None:
    for code in ExitCode:
        words = code.name.lower().replace("_", " ")
        assert re.search(rf"^\| {code.value} \|.*\b{words}\b", OPERATE, re.MULTILINE), code


@pytest.mark.parametrize("name", [n for n in counters.NAMES if n.startswith("sipherd:")])
def test_every_statistic_of_our_own_is_documented(name: str) -> None:
    assert f"`{name}`" in OPERATE


def test_the_statistics_that_documents_name_exist() -> None:
    derived = (ROOT / "workers" / "statistics.py").read_text()
    for path in [ROOT / "SECURITY.md", ROOT / "README.md", *DOCS.glob("*.md")]:
        for name in re.findall(
            r"`((?:core|sl|tm|usrloc|registrar|sipherd):\w[\w-]*)`", path.read_text()
        ):
            assert name in counters.NAMES or f'"{name}"' in derived, f"{path.name}: {name}"


def events() -> set[str]:
    """The phrases of all log lines from level info up."""
    found = set()
    for path in [*ROOT.glob("proxy/**/*.py"), *ROOT.glob("workers/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = ast.unparse(node.func.value)
            if node.func.attr in {"info", "notice", "warning", "error"} and owner.endswith("log"):
                found |= {
                    part.value
                    for part in ast.walk(node.args[0])
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                }
    return found


@pytest.mark.parametrize("event", sorted(events()))
def test_every_event_is_documented(event: str) -> None:
    table = OPERATE.partition("| event | means |")[2].partition("\n\n")[0]
    first_cells = ", ".join(line.split("|")[1] for line in table.splitlines() if "|" in line)
    assert event in [cell.strip() for cell in first_cells.split(",")]


# -- policy.md ------------------------------------------------------------------------------------


def policy_api() -> Iterator[str]:
    """What a policy may use of a request: the public members of its class."""
    source = (ROOT / "proxy" / "routing" / "request.py").read_text()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == "Request":
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    yield member.name


@pytest.mark.parametrize("name", list(policy_api()))
def test_the_whole_policy_api_is_documented(name: str) -> None:
    assert re.search(rf"^\| `{name}(?:\(.*\))?` \|", POLICY, re.MULTILINE)


EXAMPLES = re.findall(r"^```python\n(.*?)^```", POLICY, re.MULTILINE | re.DOTALL)
SMALLEST, VOICEMAIL, GATEWAY, GATEWAYS, HEADERS, WEB, SQL, SCANNERS = range(8)
KIT_EXAMPLE = re.findall(r"^```py\n(.*?)^```", POLICY, re.MULTILINE | re.DOTALL)[0]


class Office:
    """Two registered phones on a proxy that runs an example."""

    def __init__(self, folder: Path, example: int) -> None:
        script = folder / "routing.py"
        script.write_text(EXAMPLES[example])
        self.world = World(folder, policy=policy_from(script))
        self.alice = Telephone("alice", address("192.0.2.1:5060"))
        self.bob = Telephone("bob", address("192.0.2.2:5060"))

    def register(self) -> None:
        """Both phones register."""
        for phone in (self.alice, self.bob):
            assert self.send(phone, phone.register()) == [f"{phone.at.hostport.decode()} 200"]

    def call(self, user: str, **options: str) -> list[str]:
        """Alice calls."""
        return self.send(
            self.alice, self.alice.request("INVITE", f"sip:{user}@example.com", **options)
        )

    def send(self, phone: Telephone, data: bytes) -> list[str]:
        """A datagram of a phone; what the proxy sent: address, then status or request line."""
        sent = self.world.deliver(data, phone.at)
        if phone is not self.bob:
            self.bob.received += [one.message for one in sent if one.to == self.bob.at]
        return [f"{one.to.hostport.decode()} {line_of(one.message)}" for one in sent]


def line_of(message: Message) -> str:
    """Method and Request-URI, or the status."""
    if message.is_request:
        return f"{message.method} {message.request_uri.decode()}"
    return str(message.status)


@pytest.mark.parametrize("example", range(len(EXAMPLES)))
def test_examples_load(example: int, tmp_path: Path) -> None:
    script = tmp_path / "routing.py"
    script.write_text(EXAMPLES[example])
    load_policy(script)


def test_the_voicemail_example(tmp_path: Path) -> None:
    office = Office(tmp_path, VOICEMAIL)
    office.register()
    assert office.call("bob") == [
        "192.0.2.1:5060 100",
        "192.0.2.2:5060 INVITE sip:bob@192.0.2.2:5060",
    ]
    assert "192.0.2.20:5060 INVITE sip:voicemail@192.0.2.20:5060" in office.send(
        office.bob, office.bob.reply(486, "INVITE")
    )
    assert office.call("nobody")[1:] == ["192.0.2.20:5060 INVITE sip:voicemail@192.0.2.20:5060"]


def test_a_caller_who_hangs_up_gets_no_voicemail(tmp_path: Path) -> None:
    office = Office(tmp_path, VOICEMAIL)
    office.register()
    office.call("bob")
    office.send(office.bob, office.bob.reply(180, "INVITE"))
    office.send(office.alice, office.alice.cancel())
    ended = office.send(office.bob, office.bob.reply(487, "INVITE"))
    assert "192.0.2.1:5060 487" in ended
    assert not [line for line in ended if "voicemail" in line]


def test_the_gateway_example(tmp_path: Path) -> None:
    office = Office(tmp_path, GATEWAY)
    office.register()
    assert office.call("bob")[1:] == ["192.0.2.2:5060 INVITE sip:bob@192.0.2.2:5060"]
    outbound = "192.0.2.50:5060 INVITE sip:+4930123456@192.0.2.50"
    assert office.call("+4930123456")[1:] == [outbound]
    assert office.call("112")[1:] == ["192.0.2.50:5060 INVITE sip:112@192.0.2.50"]
    assert office.call("nobody") == ["192.0.2.1:5060 404"]
    assert office.call("bob", **{"from": "<sip:eve@example.net>;tag=1"}) == ["192.0.2.1:5060 403"]
    office.alice.at = address("192.0.2.50:5060")
    assert office.call("bob")[1:] == ["192.0.2.2:5060 INVITE sip:bob@192.0.2.2:5060"]
    assert office.call("+4930123456") == ["192.0.2.50:5060 404"]


def test_the_smallest_example(tmp_path: Path) -> None:
    office = Office(tmp_path, SMALLEST)
    office.register()
    assert office.call("bob")[1:] == ["192.0.2.2:5060 INVITE sip:bob@192.0.2.2:5060"]
    assert office.call("nobody")[-1:] == ["192.0.2.1:5060 480"]


def kit_of(folder: Path, example: int) -> PolicyKit:
    script = folder / "routing.py"
    script.write_text(EXAMPLES[example])
    return PolicyKit(script)


def texts(sent: list[Sent]) -> list[str]:
    return [str(one) for one in sent]


def test_the_example_of_two_gateways(tmp_path: Path) -> None:
    kit = kit_of(tmp_path, GATEWAYS)
    _, first = kit.request("INVITE", "sip:4930123456@example.com")
    assert str(first) == "192.0.2.50:5060 INVITE sip:4930123456@192.0.2.50:5060"
    second = next(one for one in kit.advance(5.1) if one.to != first.to)
    assert str(second) == "192.0.2.51:5060 INVITE sip:4930123456@192.0.2.51:5060"
    assert "192.0.2.1:5060 180 Answer" in texts(kit.answer(second, 180))
    ended = texts(kit.answer(second, 500))
    assert "192.0.2.1:5060 408 Request Timeout" in ended, "the lower class of the two failures"
    assert not [line for line in ended if "INVITE" in line], "it has rung"


def test_the_example_of_headers(tmp_path: Path) -> None:
    kit = kit_of(tmp_path, HEADERS)
    headers = {"User-Agent": "x", "P-Asserted-Identity": "<sip:me@example.com>"}
    _, invite = kit.request("INVITE", "sip:0301234@example.com", headers=headers)
    assert str(invite) == "192.0.2.50:5060 INVITE sip:+49301234@192.0.2.50:5060"
    assert invite.header("User-Agent") is None
    assert invite.header("P-Asserted-Identity") == "<sip:+4930123456@example.com>"
    assert (invite.header("From") or "").startswith('"Example Ltd" <sip:+4930123456@example.com>')
    assert kit.answer(invite, 183) == []
    (up,) = kit.answer(invite, 200, headers={"Server": "x"})
    assert up.header("Server") is None
    assert (up.header("From") or "").startswith("<sip:alice@example.com>")


def test_the_example_of_the_web(tmp_path: Path) -> None:
    kit = kit_of(tmp_path, WEB)
    url = "http://192.0.2.80/route?number=4930"
    kit.web.answers[url + "1"] = (200, b'{"gateway": "192.0.2.77:5060"}')
    kit.web.answers[url + "2"] = (404, b"")
    kit.web.answers[url + "3"] = (200, b"no JSON")
    assert texts(kit.request("INVITE", "sip:+49301@example.com"))[-1].startswith("192.0.2.77:5060 ")
    assert texts(kit.request("INVITE", "sip:+49302@example.com"))[-1].endswith("404 Not Found")
    for number in "34":
        sent = texts(kit.request("INVITE", f"sip:+4930{number}@example.com"))
        assert sent[-1].startswith("192.0.2.50:5060 INVITE"), number
    assert kit.log == []


def test_the_example_of_a_database(tmp_path: Path) -> None:
    kit = kit_of(tmp_path, SQL)
    kit.database.script("""
        CREATE TABLE routes (prefix TEXT, gateway TEXT, cost INTEGER);
        INSERT INTO routes VALUES ('49', '192.0.2.77:5060', 3), ('49', '192.0.2.78:5060', 1),
            ('4930', '192.0.2.79:5060', 9), ('1', '192.0.2.1:5060', 0);
    """)
    sent = kit.request("INVITE", "sip:+4930123@example.com")
    assert str(sent[-1]) == "192.0.2.79:5060 INVITE sip:+4930123@192.0.2.79:5060"
    _, second = kit.answer(sent[-1], 503)
    assert second.to.hostport == b"192.0.2.78:5060", "the next longest, and of those the cheapest"
    assert texts(kit.request("INVITE", "sip:+7@example.com"))[-1].endswith("404 Not Found")
    kit.database.away = True
    assert texts(kit.request("INVITE", "sip:+1@example.com"))[-1].endswith(
        "503 Service Unavailable"
    )
    assert kit.log == []


def test_the_example_of_a_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "routing.py").write_text(EXAMPLES[VOICEMAIL])
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {"__name__": "test_routing"}
    exec(compile(KIT_EXAMPLE, "test_routing.py", "exec"), found)
    tests = [value for name, value in found.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        assert callable(test)
        test()


def test_the_scanner_example(tmp_path: Path) -> None:
    office = Office(tmp_path, SCANNERS)
    office.register()
    assert office.call("bob", headers="User-Agent: friendly-scanner") == []
    assert office.call("bob")[1:] == ["192.0.2.2:5060 INVITE sip:bob@192.0.2.2:5060"]
