"""What routing tests share: requests as a caller would send them, and a node to judge them."""

from __future__ import annotations

from pathlib import Path

from proxy.registrar.lookup import Target, lookup
from proxy.routing.relay import Relay
from proxy.sip.message import Message, parse
from tests.scenarios.telephone import Telephone
from tests.scenarios.world import World, address

CALLER = address("192.0.2.1:5060")


def request(
    method: str = "INVITE",
    uri: str = "sip:bob@192.0.2.2",
    headers: str = "",
    vias: tuple[str, ...] = ("192.0.2.1;branch=z9hG4bKa",),
    to_tag: str = "",
    max_forwards: str = "70",
) -> Message:
    """A request from alice; `headers` are lines joined by |."""
    lines = [f"{method} {uri} SIP/2.0"]
    lines += [f"Via: SIP/2.0/UDP {via}" for via in vias]
    lines += [
        "From: <sip:alice@example.com>;tag=a",
        "To: <sip:bob@example.com>" + (f";tag={to_tag}" if to_tag else ""),
        "Call-ID: c1",
        f"CSeq: 1 {method}",
    ]
    if max_forwards:
        lines.append(f"Max-Forwards: {max_forwards}")
    lines += [line for line in headers.split("|") if line]
    return parse("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode())


def relay_of(world: World, message: Message, listener: int = 0) -> Relay:
    """A relay whose Via has been seen to, as the core does before it forwards."""
    relay = Relay.__new__(Relay)
    relay.begin(world.node, message, listener)
    relay.fix_via(CALLER)
    return relay


def world(folder: Path, *listeners: str) -> World:
    """A node with these listeners, or the usual one."""
    for number in range(1000):
        place = folder / f"node-{number}"
        if not place.exists():
            place.mkdir()
            return World(place, listeners=listeners) if listeners else World(place)
    raise AssertionError("too many nodes")


def registered(here: World, contact: str, source: str = "", path: str = "") -> Target:
    """The target of a telephone that has registered `contact`, from `source` through `path`."""
    phone = Telephone("bob", address(source or contact.partition("@")[2]))
    headers = f"Supported: path|Path: {path}" if path else ""
    here.deliver(phone.register(contact=f"<{contact}>", headers=headers), phone.at)
    return lookup(here.location, b"bob@example.com", "INVITE", here.node.wall)[0]
