"""Runs a text scenario: commands, and under each the datagrams that the proxy sent.

    phone alice 192.0.2.1:5060
    ----

    register bob
    ----
    bob <- 200 OK | Contact: <sip:bob@192.0.2.2:5060>;expires=3600

A command, `----`, the expected output, an empty line. Lines that start with # are comments.

phone NAME ADDRESS                       a telephone; its AoR is sip:NAME@example.com
register NAME [expires= contact= …]      options of Telephone.request go through
request NAME METHOD URI [key=value …]    outside a dialog; headers=A: b|C: d adds lines
dialog NAME METHOD [key=value …]         inside the telephone's dialog
invite NAME USER [key=value …]           INVITE sip:USER@example.com
reply NAME STATUS [METHOD] [key=value …] answers the last such request (default INVITE)
ack NAME · bye NAME · cancel NAME        by the book
again NAME                               the last datagram of NAME once more
wait SECONDS                             time passes; lines then begin with the moment
show KIND…                               whole header lines of KIND in each line from now on
forget                                   the worker dies and is replaced: no transaction is known
count NAME…                              statistics
Values with spaces are written key="a b".
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from proxy.sip.header_ids import RECORD_ROUTE, VIA
from tests.scenarios.telephone import Telephone
from tests.scenarios.world import Sent, World, address


class Flow:
    """One scenario being played."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.phones: dict[str, Telephone] = {}
        self.started = world.now
        self.shown: list[bytes] = []
        self.verbs: dict[str, Callable[..., list[str]]] = {
            "phone": self.phone,
            "register": self.register,
            "request": self.request,
            "dialog": self.dialog,
            "invite": self.invite,
            "reply": self.reply,
            "ack": self.ack,
            "bye": self.bye,
            "cancel": self.cancel,
            "again": self.again,
            "wait": self.wait,
            "show": self.show,
            "forget": self.forget,
            "count": self.count,
        }

    def run(self, command: str) -> list[str]:
        """One command; the lines it prints."""
        words = shlex.split(command)
        options = dict(word.split("=", 1) for word in words[1:] if is_option(word))
        plain = [word for word in words[1:] if not is_option(word)]
        return self.verbs[words[0]](*plain, **options)

    def deliver(self, phone: Telephone, data: bytes) -> list[str]:
        return self.describe(self.world.deliver(data, phone.at))

    def describe(self, sent: list[Sent], timed: bool = False) -> list[str]:
        lines = []
        for one in sent:
            phone = next((p for p in self.phones.values() if p.at == one.to), None)
            message = one.message
            if phone is not None:
                phone.received.append(message)
            who = phone.name if phone else one.to.hostport.decode()
            when = f"{one.at - self.started:7.3f} " if timed else ""
            lines.append(f"{when}{who} <- {self.summary(one)}")
        return lines

    def summary(self, one: Sent) -> str:
        """Start line, then what tells one hop from the next."""
        message = one.message
        if not message.is_request:
            text = f"{message.status} {message.reason.decode()} ({message.cseq_method})"
        else:
            routed = " rr" if message.has(RECORD_ROUTE) else ""
            vias = len(message.values(VIA))
            mf = message.max_forwards
            text = f"{message.method} {message.request_uri.decode()} [vias {vias}, mf {mf}{routed}]"
        for name in self.shown:
            for value in message.named(name):
                text += f" | {name.decode()}: {value.decode()}"
        return text

    # -- verbs --------------------------------------------------------------------------------

    def phone(self, name: str, at: str) -> list[str]:
        self.phones[name] = Telephone(name, address(at))
        return []

    def register(self, name: str, **options: str) -> list[str]:
        phone = self.phones[name]
        return self.deliver(phone, phone.register(**options))

    def request(self, name: str, method: str, uri: str, **options: str) -> list[str]:
        phone = self.phones[name]
        return self.deliver(phone, phone.request(method, uri, **options))

    def dialog(self, name: str, method: str, **options: str) -> list[str]:
        phone = self.phones[name]
        return self.deliver(phone, phone.in_dialog(method, **options))

    def invite(self, name: str, user: str, **options: str) -> list[str]:
        return self.request(name, "INVITE", f"sip:{user}@example.com", **options)

    def reply(self, name: str, status: str, method: str = "INVITE", **options: str) -> list[str]:
        phone = self.phones[name]
        return self.deliver(phone, phone.reply(int(status), method, **options))

    def ack(self, name: str) -> list[str]:
        phone = self.phones[name]
        return self.deliver(phone, phone.ack(phone.final_response()))

    def bye(self, name: str) -> list[str]:
        return self.dialog(name, "BYE")

    def cancel(self, name: str) -> list[str]:
        phone = self.phones[name]
        return self.deliver(phone, phone.cancel())

    def again(self, name: str) -> list[str]:
        phone = self.phones[name]
        return self.deliver(phone, phone.sent)

    def wait(self, seconds: str) -> list[str]:
        return self.describe(self.world.wait(float(seconds)), timed=True)

    def show(self, *names: str) -> list[str]:
        self.shown = [name.encode() for name in names]
        return []

    def forget(self) -> list[str]:
        self.world.start_worker()
        return []

    def count(self, *names: str) -> list[str]:
        return [f"{name} {self.world.count(name)}" for name in names]


def is_option(word: str) -> bool:
    """Whether a word is key=value (a URI's parameters do not count)."""
    key, equals, _ = word.partition("=")
    return bool(equals) and key.replace("_", "").isalpha()


def play(path: Path, world: World) -> str:
    """The scenario's text as it should stand in the file."""
    flow = Flow(world)
    out: list[str] = []
    expected = False
    for line in path.read_text().splitlines():
        if expected:
            expected = line != ""
            if not expected:
                out.append("")
        elif line == "----":
            out.append(line)
            out += flow.run(out[-2])
            expected = True
        else:
            out.append(line)
    return "\n".join(out).rstrip("\n") + "\n"
