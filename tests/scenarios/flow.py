"""Runs a text scenario: commands, and under each the datagrams that the proxy sent.

    phone alice 192.0.2.1:5060
    ----

    register bob
    ----
    bob <- 200 OK | Contact: <sip:bob@192.0.2.2:5060>;expires=3600

A command, `----`, the expected output, an empty line. Lines that start with # are comments.

world [key=value …]   the proxy of this scenario, when it is not the usual one; comes first:
    listeners=A,B     its addresses (default 192.0.2.100:5060)
    policy=NAME       a policy of policies.py (default: conf/routing.py)
    names=H:A+B,…     what the DNS says; dns=waits: only on the command `dns`
    capacity=N        transactions of the worker; RULE=N: a rule of the registrar
    dialogs=N         room for so many tracked calls; profiles=A,B no_value=C automatic=no
                      when_full=refuse sharing_tag=T: the other settings of [dialog]
phone NAME ADDRESS [user=] [to=ADDRESS]  a telephone; its AoR is sip:USER@example.com, and it
                                         speaks to the proxy's listener `to`
registered NAME ADDRESS [user= to= q=]   a telephone that has registered
register NAME [expires= contact= …]      options of Telephone.request go through; contact=none
request NAME METHOD URI [key=value …]    outside a dialog; headers="A: b|C: d" adds lines
dialog NAME METHOD [key=value …]         inside the telephone's dialog
invite NAME USER [key=value …]           INVITE sip:USER@example.com
reply NAME STATUS [METHOD] [key=value …] answers the last such request (default INVITE)
ack NAME [tag=] · bye NAME · cancel NAME by the book; tag= says which 2xx
again NAME [KIND]                        the last datagram of NAME once more; KIND: INVITE, 486, …
send NAME                                the message in the lines that follow
crlf NAME                                a keep-alive
wait SECONDS                             time passes; lines then begin with the moment
dns                                      the resolver answers
down ADDRESS · up ADDRESS                datagrams to it cannot be sent, can be sent
show KIND…                               whole header lines of KIND in each line from now on;
                                         `branch` is the branch of our Via; what we sign is shown
                                         as #, branches numbered as they appear
forget                                   the worker dies and is replaced: no transaction is known
count NAME…                              statistics
calls                                    the tracked calls: states, legs, how they ended
profile NAME [VALUE]                     the size of a profile
sweep                                    what the timekeeper does each second
left                                     transactions and timers there are
{branch}, {cookie} and {did} stand for the branch and what the Record-Route had that the proxy made
last.
Values with spaces are written key="a b". Whatever sends takes source=ADDRESS (not its own) and
swap="REGEX -> TEXT" (the datagram is altered so before it is sent).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

from proxy.dialog.decoded import decode
from proxy.dialog.dialog import Dialog
from proxy.dialog.due import may_be_removed
from proxy.dialog.states import State
from proxy.dialog.sweep import Sweep
from proxy.dialog.tracker import Tracker
from proxy.routing.dialog_agent import DialogAgent
from proxy.shm.cluster_page import ClusterPage
from proxy.sip.address import Address
from proxy.sip.header_ids import RECORD_ROUTE, VIA
from proxy.sip.message import Message
from tests.scenarios import policies
from tests.scenarios.telephone import Telephone
from tests.scenarios.world import Sent, World, address
from workers import settings
from workers.commands.dialog import want_end

COOKIE = re.compile(rb";k=([0-9a-f]+)")
DID = re.compile(rb";did=([0-9a-f.]+)")
OUR_BRANCH = re.compile(rb"branch=(z9hG4bK[0-9a-f]{32})\b")
SIGNED = re.compile(rb"(;k=|;tag=)[0-9a-f]{16}\b")
LISTENERS = "192.0.2.100:5060"


class TellingSweep(Sweep):
    """The timekeeper's: what is due in a dialog is for its worker to do."""

    def __init__(self, tracker: Tracker) -> None:
        super().__init__(tracker)
        self.told: list[bytes] = []

    def due_live(self, dialog: Dialog) -> None:
        self.told.append(dialog.key)

    def due_ended(self, dialog: Dialog) -> None:
        store = self.tracker.store
        if may_be_removed(dialog.record(), store.wall, store.rules.intervals):
            super().due_ended(dialog)
        else:
            self.told.append(dialog.key)


class Flow:
    """One scenario being played."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._world: World | None = None
        self.page: ClusterPage | None = None
        self.phones: dict[str, Telephone] = {}
        self.listener_of: dict[str, int] = {}
        self.shown: list[bytes] = []
        self.branches: dict[bytes, int] = {}
        self.text = ""
        self.made = {"{branch}": "", "{cookie}": "", "{did}": ""}
        self.verbs: dict[str, Callable[..., list[str]]] = {
            "world": self.make_world,
            "phone": self.phone,
            "registered": self.registered,
            "register": self.register,
            "request": self.request,
            "dialog": self.dialog,
            "invite": self.invite,
            "reply": self.reply,
            "ack": self.ack,
            "bye": self.bye,
            "cancel": self.cancel,
            "again": self.again,
            "send": self.send,
            "crlf": self.crlf,
            "wait": self.wait,
            "dns": self.dns,
            "down": self.down,
            "up": self.up,
            "show": self.show,
            "forget": self.forget,
            "count": self.count,
            "left": self.left,
            "calls": self.calls,
            "profile": self.profile,
            "tag": self.tag,
            "sweep": self.sweep,
            "end": self.end,
        }

    @property
    def world(self) -> World:
        if self._world is None:
            self.make_world()
        assert self._world is not None
        return self._world

    def run(self, block: list[str]) -> list[str]:
        """One command, with the lines that belong to it; the lines it prints."""
        block = [self.filled_in(line) for line in block]
        words = shlex.split(block[0])
        self.text = "\r\n".join([*block[1:], "", ""])
        options = dict(word.split("=", 1) for word in words[1:] if is_option(word))
        plain = [word for word in words[1:] if not is_option(word)]
        return self.verbs[words[0]](*plain, **options)

    def filled_in(self, line: str) -> str:
        for name, value in self.made.items():
            line = line.replace(name, value)
        return line

    def remember(self, message: Message) -> None:
        """What a scenario may ask for later."""
        if message.is_request:
            self.made["{branch}"] = message.branch.decode()
        cookie = COOKIE.search(message.header(RECORD_ROUTE) or b"")
        if cookie:
            self.made["{cookie}"] = cookie[1].decode()
        did = DID.search(message.header(RECORD_ROUTE) or b"")
        if did:
            self.made["{did}"] = did[1].decode()

    def deliver(self, phone: Telephone, data: bytes, source: str = "", swap: str = "") -> list[str]:
        if swap:
            old, _, new = swap.partition(" -> ")
            data, times = re.subn(old.encode(), new.replace("|", "\r\n").encode(), data, count=1)
            assert times == 1, swap
        at = address(source) if source else phone.at
        return self.describe(self.world.deliver(data, at, self.listener_of[phone.name]))

    def describe(self, sent: list[Sent], timed: bool = False) -> list[str]:
        lines = []
        several = len(self.world.listeners) > 1
        for one in sent:
            phone = next((p for p in self.phones.values() if p.at == one.to), None)
            self.remember(one.message)
            if phone is not None:
                phone.received.append(one.message)
            who = phone.name if phone else one.to.hostport.decode()
            when = f"{one.at - self.world.started:7.3f} " if timed else ""
            by = ""
            if several:
                by = f" from {self.world.listeners[one.listener].hostport.decode()}"
            lines.append(f"{when}{who} <- {self.summary(one)}{by}")
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
            if name == b"branch":
                if message.is_request:
                    text += f" | branch #{self.number(message.branch)}"
                continue
            for value in message.named(name):
                text += f" | {name.decode()}: {self.plain(value)}"
        return text

    def number(self, branch: bytes) -> int:
        """Branches of ours are numbered as they appear."""
        return self.branches.setdefault(branch, len(self.branches) + 1)

    def plain(self, value: bytes) -> str:
        """A header value without our signatures, which nobody can read."""
        value = OUR_BRANCH.sub(lambda found: b"branch=#%d" % self.number(found[1]), value)
        return SIGNED.sub(rb"\1#", value).decode()

    # -- the stage ----------------------------------------------------------------------------

    def make_world(self, **options: str) -> list[str]:
        listeners = tuple(options.pop("listeners", LISTENERS).split(","))
        named = options.pop("policy", "")
        policy = policies.with_registrar(getattr(policies, named)) if named else None
        names: dict[bytes, tuple[Address, ...]] = {}
        for entry in options.pop("names", "").split(","):
            host, _, addresses = entry.partition(":")
            if host:
                names[host.encode()] = tuple(address(one) for one in addresses.split("+"))
        capacity = int(options.pop("capacity", "1000"))
        dialogs = dialog_settings(options)
        if dialogs is not None and dialogs.sharing_tag:
            self.page = ClusterPage.create(None, 1, (dialogs.sharing_tag,))
        waits = options.pop("dns", "") == "waits"
        rules = {name: int(value) for name, value in options.items()}
        self._world = World(
            self.folder,
            listeners=listeners,
            policy=policy,
            capacity=capacity,
            names=names,
            dialogs=dialogs,
            cluster=self.page,
            **rules,
        )
        self._world.dns_waits = waits
        return []

    def phone(self, name: str, at: str, user: str = "", to: str = "") -> list[str]:
        phone = self.phones[name] = Telephone(name, address(at), user)
        listeners = self.world.listeners
        if to:
            self.listener_of[name] = listeners.index(address(to))
        else:
            fitting = [one.is_v6 == phone.at.is_v6 for one in listeners]
            self.listener_of[name] = fitting.index(True)
        return []

    def registered(
        self, name: str, at: str, user: str = "", to: str = "", q: str = "", headers: str = ""
    ) -> list[str]:
        self.phone(name, at, user, to)
        contact = f"<{self.phones[name].contact}>" + (f";q={q}" if q else "")
        output = self.register(name, contact=contact, headers=headers)
        assert output
        assert output[0].startswith(f"{name} <- 200 "), output
        return []

    def wait(self, seconds: str) -> list[str]:
        return self.describe(self.world.wait(float(seconds)), timed=True)

    def dns(self) -> list[str]:
        self.world.answer_dns()
        return self.describe(self.world.collect())

    def down(self, at: str) -> list[str]:
        self.world.unreachable.add(address(at))
        return []

    def up(self, at: str) -> list[str]:
        self.world.unreachable.discard(address(at))
        return []

    def show(self, *names: str) -> list[str]:
        self.shown = [name.encode() for name in names]
        return []

    def forget(self) -> list[str]:
        self.world.start_worker()
        return []

    def count(self, *names: str) -> list[str]:
        return [f"{name} {self.world.count(name)}" for name in names]

    def left(self) -> list[str]:
        servers, clients, timers = self.world.left()
        return [f"servers {servers}, clients {clients}, timers {timers}"]

    def calls(self) -> list[str]:
        """Every tracked call, one line each."""
        lines = []
        for key, payload in self.world.dialog_table.scan(0, 1000)[0]:
            record = decode(key, payload)
            line = f"{record.call_id.decode()} {State(record.state).name}"
            if record.state == State.DELETED:
                line += f" ({record.end_words} {record.end_code})"
            for leg in record.callees:
                line += f" | {leg.tag.decode()} {State(leg.state).name}"
            lines.append(line)
        early, active = self.world.dialog_table.gauges()
        return [*sorted(lines), f"early {early}, active {active}"]

    def profile(self, name: str, value: str = "") -> list[str]:
        tracker = self.world.node.dialogs
        assert tracker is not None
        size = tracker.store.profiles.size(name.encode(), value.encode(), tracker.store.wall)
        return [f"{name} {value}".rstrip() + f": {size}"]

    def tag(self, name: str, state: str) -> list[str]:
        """What the clusterer says of a sharing tag."""
        assert self.page is not None
        self.page.set_tag(name.encode(), self.page.epoch(name.encode()) + 1, state == "active")
        return []

    def sweep(self) -> list[str]:
        """What the timekeeper does each second."""
        assert self.world.node.dialogs is not None
        sweep = TellingSweep(self.world.node.dialogs)
        due = sweep.sweep()
        agent = DialogAgent(self.world.node, self.world.node.dialogs)
        for key in sweep.told:
            agent.look(key)
        removed = sweep.sweep_profiles()
        return [f"due {due}, members removed {removed}", *self.describe(self.world.collect())]

    def end(self, call_id: str) -> list[str]:
        """An operator ends a call; no worker has been told yet."""
        tracker = self.world.node.dialogs
        assert tracker is not None
        for key, _ in self.world.dialog_table.scan(0, 1000)[0]:
            if key.startswith(call_id.encode() + b"\0"):
                dialog = tracker.open(key)
                assert dialog is not None
                dialog.change(partial(want_end, now=tracker.store.wall))
        return []

    # -- what telephones send -----------------------------------------------------------------

    def register(self, name: str, source: str = "", swap: str = "", **options: str) -> list[str]:
        phone = self.phones[name]
        return self.deliver(phone, phone.register(**options), source, swap)

    def request(
        self, name: str, method: str, uri: str, source: str = "", swap: str = "", **options: str
    ) -> list[str]:
        phone = self.phones[name]
        return self.deliver(phone, phone.request(method, uri, **options), source, swap)

    def dialog(
        self, name: str, method: str, source: str = "", swap: str = "", **options: str
    ) -> list[str]:
        phone = self.phones[name]
        return self.deliver(phone, phone.in_dialog(method, **options), source, swap)

    def invite(self, name: str, user: str, **options: str) -> list[str]:
        return self.request(name, "INVITE", f"sip:{user}@example.com", **options)

    def reply(
        self,
        name: str,
        status: str,
        method: str = "INVITE",
        source: str = "",
        swap: str = "",
        **options: str,
    ) -> list[str]:
        phone = self.phones[name]
        return self.deliver(phone, phone.reply(int(status), method, **options), source, swap)

    def ack(self, name: str, tag: str = "", source: str = "", swap: str = "") -> list[str]:
        phone = self.phones[name]
        return self.deliver(phone, phone.ack(phone.final_response(tag)), source, swap)

    def bye(self, name: str) -> list[str]:
        return self.dialog(name, "BYE")

    def cancel(self, name: str, source: str = "", swap: str = "") -> list[str]:
        phone = self.phones[name]
        return self.deliver(phone, phone.cancel(), source, swap)

    def again(self, name: str, kind: str = "", source: str = "", swap: str = "") -> list[str]:
        phone = self.phones[name]
        return self.deliver(phone, phone.sent_before(kind), source, swap)

    def send(self, name: str, source: str = "") -> list[str]:
        return self.deliver(self.phones[name], self.text.encode(), source)

    def crlf(self, name: str) -> list[str]:
        return self.deliver(self.phones[name], b"\r\n\r\n")


def dialog_settings(options: dict[str, str]) -> settings.Dialog | None:
    """`[dialog]` of a world: dialogs=CAPACITY, and its other settings by their names."""
    listed = {
        setting: tuple(filter(None, options.pop(name, "").split(",")))
        for name, setting in (("profiles", "profiles"), ("no_value", "profiles_no_value"))
    }
    given = {name: options.pop(name) for name in ("when_full", "sharing_tag") if name in options}
    automatic = options.pop("automatic", "yes") == "yes"
    if "dialogs" not in options:
        return None
    capacity = int(options.pop("dialogs"))
    return settings.Dialog.model_validate(
        {"enabled": True, "capacity": capacity, "automatic": automatic, **listed, **given}
    )


def is_option(word: str) -> bool:
    """Whether a word is key=value (a URI's parameters do not count)."""
    key, equals, _ = word.partition("=")
    return bool(equals) and key.replace("_", "").isalpha()


def play(path: Path, flow: Flow) -> str:
    """The scenario's text as it should stand in the file."""
    out: list[str] = []
    block: list[str] = []
    expected = False
    for line in path.read_text().splitlines():
        if expected:
            expected = line != ""
            if not expected:
                out.append("")
        elif line == "----":
            out.append(line)
            out += flow.run(block)
            block = []
            expected = True
        else:
            out.append(line)
            if line and (block or not line.startswith("#")):
                block.append(line)
    return "\n".join(out).rstrip("\n") + "\n"
