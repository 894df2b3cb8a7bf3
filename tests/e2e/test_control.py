"""`sipherd ctl` on what telephones registered."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from loadtests.servers import ServerFailed, Sipherd
from tests.e2e.phone import Phone

pytestmark = pytest.mark.ours
MakePhone = Callable[..., Phone]


def ctl(server: Sipherd, method: str, *words: str) -> Any:
    """What the command prints."""
    done = server.run_command("ctl", "-c", str(server.config_path), method, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_dump_and_show_what_a_phone_registered(sipherd: Sipherd, phone: MakePhone) -> None:
    carol = phone("carol")
    carol.register(1800, contact=f"{carol.contact};q=0.7")
    table = ctl(sipherd, "ul_dump")["Domains"][0]
    assert table["name"] == "location"
    shown = ctl(sipherd, "ul_show_contact", "table_name=location", "aor=carol@example.com")
    assert shown["AOR"] in {"carol", "carol@example.com"}
    assert [row["AOR"] for row in table["AORs"]].count(shown["AOR"]) == 1
    (contact,) = shown["Contacts"]
    assert contact["Contact"] == f"sip:carol@{carol.address}"
    assert contact["Callid"] == f"reg-carol@{carol.address}"
    assert contact["Cseq"] == 1
    assert float(contact["Q"]) == pytest.approx(0.7)
    assert 1500 < contact["Expires"] <= 1800
    assert contact["Socket"] == f"udp:127.0.0.1:{sipherd.port}"


def test_removed_contact_is_gone(sipherd: Sipherd, phone: MakePhone) -> None:
    alice, dave = phone("alice"), phone("dave")
    dave.register()
    assert "dave" in " ".join(sipherd.bindings())
    assert sipherd.ctl("ul_rm", table_name="location", aor="dave@example.com") == "OK"
    with pytest.raises(ServerFailed):
        sipherd.ctl("ul_show_contact", table_name="location", aor="dave@example.com")
    invite = alice.invite("dave")
    alice.send(invite)
    alice.ack_failure(invite, alice.expect(404, "INVITE"))


def test_added_contact_gets_calls(sipherd: Sipherd, phone: MakePhone) -> None:
    alice, erin = phone("alice"), phone("erin")
    contact = f"sip:erin@{erin.address}"
    assert (
        sipherd.ctl(
            "ul_add",
            table_name="location",
            aor="erin@example.com",
            contact=contact,
            expires=600,
            q="1.0",
            flags=0,
            cflags=0,
            methods=5951,
        )
        == "OK"
    )
    invite = alice.invite("erin")
    alice.send(invite)
    received = erin.expect(method="INVITE")
    assert received.uri == contact
    erin.respond(received, 486, "Busy Here")
    alice.ack_failure(invite, alice.expect(486, "INVITE"))
    erin.expect(method="ACK")
    assert (
        sipherd.ctl("ul_rm_contact", table_name="location", aor="erin@example.com", contact=contact)
        == "OK"
    )
    assert not any("erin" in aor for aor in sipherd.bindings())


def test_statistics_count_registrations(sipherd: Sipherd, phone: MakePhone) -> None:
    before = sipherd.statistics("usrloc:")["usrloc:registered_users"]
    phone("frank").register()
    phone("grace").register()
    assert sipherd.statistics("usrloc:")["usrloc:registered_users"] == before + 2


def test_processes_and_version(sipherd: Sipherd) -> None:
    rows = ctl(sipherd, "ps")["Processes"]
    assert sum("worker" in row["Type"].lower() for row in rows) == sipherd.workers
    assert len({row["PID"] for row in rows}) == len(rows)
    assert ctl(sipherd, "version")["Server"]
    assert "ul_dump" in ctl(sipherd, "which")
    assert "sec" in ctl(sipherd, "uptime")["Up time"]


def test_unknown_method_is_a_sentence(sipherd: Sipherd) -> None:
    done = sipherd.run_command("ctl", "-c", str(sipherd.config_path), "no_such_method")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "no_such_method" in done.stdout + done.stderr


def test_table_is_clean_while_in_use(sipherd: Sipherd, phone: MakePhone) -> None:
    phone("heidi").register()
    done = sipherd.table_check()
    assert done.returncode == 0, done.stdout + done.stderr
