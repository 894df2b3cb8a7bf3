"""Plays a text against a script of conf/examples, with the kit that operators have.

    kit residential users=alice:wonderland profiles=trunk
    ----

    request INVITE sip:bob@example.com password=wonderland
    ----
    192.0.2.1:5060 100 Trying
    192.0.2.2:5060 INVITE sip:bob@192.0.2.2:5060

A command, `----`, what the proxy sent, an empty line; lines with # are comments.

kit SCRIPT [users=NAME:PASSWORD,…] [profiles=NAME,…]   comes first
register USER CONTACT [source=] [q=]     a phone in the location table
alias ADDRESS ADDRESS · address GROUP NETWORK [info=]  rows of the database
request METHOD URI [from= source= password= headers="A: b|C: d"]
answer ADDRESS STATUS [headers=]         whoever is at ADDRESS answers its last INVITE, BYE, …
follow METHOD [listener=]                the caller of the last 2xx sends a request inside the call
hangup · wait SECONDS                    the caller cancels; time passes
show NAME…                               these headers of what is sent from now on
size PROFILE VALUE · log                 members of a profile; the events of the log
left                                     transactions there are
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from tests.scenarios.flow import is_option
from workers.policy_kit import CALLER, PolicyKit
from workers.rehearsal import Sent

EXAMPLES = Path(__file__).resolve().parents[2] / "conf" / "examples"
SIGNED = re.compile(r"(;did=|;k=|;tag=|nonce=\")[0-9a-f.-]{8,}")


class Transcript:
    """One text being played."""

    def __init__(self) -> None:
        self.kits: list[PolicyKit] = []
        self.shown: list[str] = []
        self.requests: dict[str, Sent] = {}
        self.success: list[Sent] = []
        self.verbs: dict[str, Callable[..., list[str]]] = {
            name: getattr(self, f"do_{name}")
            for name in (
                *("kit", "register", "alias", "address", "request", "answer", "follow"),
                *("hangup", "wait", "show", "size", "log", "left"),
            )
        }

    @property
    def kit(self) -> PolicyKit:
        return self.kits[-1]

    def run(self, block: list[str]) -> list[str]:
        """One command; the lines it prints."""
        words = shlex.split(block[0])
        options = dict(word.split("=", 1) for word in words[1:] if is_option(word))
        plain = [word for word in words[1:] if not is_option(word)]
        return self.verbs[words[0]](*plain, **options)

    def told(self, sent: list[Sent]) -> list[str]:
        lines = []
        for one in sent:
            message = one.message
            if message.is_request and message.method not in ("ACK", "CANCEL"):
                self.requests[one.to.hostport.decode()] = one
            elif 200 <= message.status < 300 and message.cseq_method == "INVITE":
                self.success.append(one)
            text = str(one)
            for name in self.shown:
                for value in message.named(name.encode()):
                    plain = SIGNED.sub(r"\1#", value.decode())
                    text += f" | {name}: {plain}"
            lines.append(text)
        return lines

    def do_kit(self, script: str, users: str = "", profiles: str = "none") -> list[str]:
        known = dict(each.split(":") for each in users.split(",")) if users else None
        named = [] if profiles == "none" else profiles.split(",")
        self.kits.append(PolicyKit(EXAMPLES / f"{script}.py", users=known, profiles=named))
        return []

    def do_register(self, user: str, contact: str, source: str = "", q: str = "") -> list[str]:
        self.kit.register(f"sip:{user}@example.com", contact, source=source, q=q)
        return []

    def do_alias(self, alias: str, user: str) -> list[str]:
        self.kit.users.aliases[alias] = user
        return []

    def do_address(self, group: str, network: str, info: str = "") -> list[str]:
        self.kit.add_address(int(group), network, info=info)
        return []

    def do_request(self, method: str, uri: str, **options: str) -> list[str]:
        sent = self.kit.request(
            method,
            uri,
            caller=options.get("from", "sip:alice@example.com"),
            to=options.get("to", ""),
            source=options.get("source", CALLER),
            password=options.get("password", ""),
            headers=headers_of(options.get("headers", "")),
        )
        return self.told(sent)

    def do_answer(self, at: str, status: str, headers: str = "") -> list[str]:
        sent = self.kit.answer(self.requests[at], int(status), headers=headers_of(headers))
        return self.told(sent)

    def do_follow(self, method: str) -> list[str]:
        return self.told(self.kit.follow_up(self.success[-1], method))

    def do_hangup(self) -> list[str]:
        return self.told(self.kit.hang_up())

    def do_wait(self, seconds: str) -> list[str]:
        return self.told(self.kit.advance(float(seconds)))

    def do_show(self, *names: str) -> list[str]:
        self.shown = list(names)
        return []

    def do_size(self, profile: str, value: str) -> list[str]:
        node = self.kit.world.node
        assert node.dialogs is not None
        profiles = node.dialogs.store.profiles
        return [str(profiles.size(profile.encode(), value.encode(), node.wall))]

    def do_log(self) -> list[str]:
        return self.kit.log

    def do_left(self) -> list[str]:
        servers, clients, timers = self.kit.world.left()
        return [f"servers {servers}, clients {clients}, timers {timers}"]


def headers_of(text: str) -> dict[str, str]:
    """Header lines joined by |."""
    return dict(line.split(": ", 1) for line in text.split("|") if line)
