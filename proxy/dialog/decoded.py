"""A dialog's record as objects: for commands, call detail records, replication and rare changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

from proxy.dialog import layout as at
from proxy.dialog.record import is_sound, leg_string, string
from proxy.dialog.states import END_WORDS, EndReason, State
from proxy.errors import CorruptRecord
from proxy.shm.words import get_u16, get_u32, get_u64, put_u16, put_u32, put_u64

Pairs = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Leg:
    """One side of a dialog. The caller's numbers towards a callee are with that callee."""

    tag: bytes = b""
    contact: bytes = b""  # remote target (RFC 3261 §12.1)
    routes: bytes = b""  # Route values from us to it, in sending order, ours left out
    socket: bytes = b""  # our listener on its side
    state: int = State.UNCONFIRMED
    flags: int = 0
    cseq: int = 0  # last CSeq it sent, 0 none
    caller_cseq: int = 0  # last CSeq the caller sent to it
    generated: int = 0  # last CSeq we made towards it
    caller_generated: int = 0  # last CSeq we made towards the caller in its name
    answered_ms: int = 0
    ended_ms: int = 0
    end_reason: int = EndReason.NONE
    end_code: int = 0
    since: int = 0  # caller_cseq when `generated` was made
    before: int = 0  # how far CSeqs of the caller up to `since` are shifted (numbering.py)
    caller_since: int = 0  # cseq when `caller_generated` was made
    caller_before: int = 0
    destination: bytes = b""  # the address that it was called at
    reached: bytes = b""  # the address at which it is, if not where its contact says
    sdp: bytes = b""  # the last it sent, while re-INVITE pings need it

    @property
    def is_confirmed(self) -> bool:
        """Whether it has answered and nobody has hung up."""
        return self.state in (State.CONFIRMED_NA, State.CONFIRMED)


@dataclass(slots=True)
class DialogRecord:
    """Everything known of the dialogs of one INVITE."""

    key: bytes
    node: int = 0
    epoch: int = 0
    counter: int = 0
    state: int = State.UNCONFIRMED
    version: int = 0
    owner: int = 0
    created_ms: int = 0
    answered_ms: int = 0
    ended_ms: int = 0
    timeout_at: int = 0
    lifetime: int = 0
    due: int = 0
    flags: int = 0
    user_flags: int = 0
    branch: int = 0  # a hash of that of the INVITE
    invite_cseq: int = 0
    end_reason: int = EndReason.NONE
    end_code: int = 0
    from_uri: bytes = b""
    to_uri: bytes = b""
    sharing_tag: bytes = b""
    source: bytes = b""  # the address that the INVITE came from
    mangled_from_uri: bytes = b""  # From and To as they were sent on, if not as they came
    mangled_to_uri: bytes = b""
    variables: dict[bytes, bytes] = field(default_factory=dict)
    profiles: Pairs = field(default_factory=list)
    caller: Leg = field(default_factory=Leg)
    callees: list[Leg] = field(default_factory=list)

    @property
    def call_id(self) -> bytes:
        """The Call-ID."""
        return self.key.split(b"\0", 2)[0]

    @property
    def did(self) -> str:
        """The id that travels in Record-Route."""
        return f"{self.node:x}.{self.epoch:x}.{self.counter:x}"

    @property
    def db_id(self) -> int:
        """A number of at most 63 bits that stays with the dialog, as a database wants one."""
        return int.from_bytes(blake2b(self.did.encode(), digest_size=8).digest(), "big") >> 1

    @property
    def end_words(self) -> str:
        """Why it ended, in OpenSIPS' words."""
        return END_WORDS[EndReason(self.end_reason)]

    def callee(self, tag: bytes) -> Leg | None:
        """The leg of one callee."""
        return next((leg for leg in self.callees if leg.tag == tag), None)


def pairs(blob: bytes) -> Pairs:
    """Names and values of a list in the record; CorruptRecord when it is none."""
    found: Pairs = []
    i = 0
    while i < len(blob):
        name_end = i + 1 + blob[i]
        value_at = name_end + 2
        if value_at > len(blob):
            raise CorruptRecord("a list in a dialog's record is cut off")
        end = value_at + get_u16(blob, name_end)
        if end > len(blob):
            raise CorruptRecord("a list in a dialog's record is cut off")
        found.append((blob[i + 1 : name_end], blob[value_at:end]))
        i = end
    return found


def listed(some: Pairs) -> bytes:
    """The opposite of `pairs`."""
    pieces = []
    for name, value in some:
        if len(name) > 0xFF or len(value) > 0xFFFF:
            raise CorruptRecord("a name of more than 255 or a value of more than 65535 bytes")
        pieces += [bytes([len(name)]), name, len(value).to_bytes(2, "little"), value]
    return b"".join(pieces)


def decode(key: bytes, payload: bytes) -> DialogRecord:
    """The record as objects; CorruptRecord when it is not sound."""
    if not is_sound(payload):
        raise CorruptRecord(f"a dialog record of {len(payload)} bytes is not sound")
    p = payload
    return DialogRecord(
        key=key,
        node=get_u16(p, at.AT_NODE),
        epoch=get_u32(p, at.AT_EPOCH),
        counter=get_u64(p, at.AT_DID),
        state=p[at.AT_STATE],
        version=get_u64(p, at.AT_VERSION),
        owner=get_u16(p, at.AT_OWNER),
        created_ms=get_u64(p, at.AT_CREATED),
        answered_ms=get_u64(p, at.AT_ANSWERED),
        ended_ms=get_u64(p, at.AT_ENDED),
        timeout_at=get_u32(p, at.AT_TIMEOUT),
        lifetime=get_u32(p, at.AT_LIFETIME),
        due=get_u32(p, at.AT_DUE),
        flags=get_u32(p, at.AT_FLAGS),
        user_flags=get_u32(p, at.AT_USER_FLAGS),
        branch=get_u32(p, at.AT_BRANCH),
        invite_cseq=get_u32(p, at.AT_INVITE_CSEQ),
        end_reason=get_u16(p, at.AT_END_REASON),
        end_code=get_u16(p, at.AT_END_CODE),
        from_uri=string(p, at.FROM_URI),
        to_uri=string(p, at.TO_URI),
        sharing_tag=string(p, at.SHARING_TAG),
        source=string(p, at.SOURCE),
        mangled_from_uri=string(p, at.MANGLED_FROM),
        mangled_to_uri=string(p, at.MANGLED_TO),
        variables=dict(pairs(string(p, at.VARIABLES))),
        profiles=pairs(string(p, at.PROFILES)),
        caller=Leg(
            tag=[*key.split(b"\0", 2), b""][1],
            contact=string(p, at.CONTACT),
            routes=string(p, at.ROUTES),
            socket=string(p, at.SOCKET),
            sdp=string(p, at.SDP),
            reached=string(p, at.REACHED),
            state=p[at.AT_STATE],
        ),
        callees=[_decode_leg(p, at.HEAD + index * at.LEG) for index in range(p[at.AT_LEGS])],
    )


def _decode_leg(p: bytes, leg: int) -> Leg:
    return Leg(
        tag=leg_string(p, leg, at.LEG_TAG),
        contact=leg_string(p, leg, at.LEG_CONTACT),
        routes=leg_string(p, leg, at.LEG_ROUTES),
        socket=leg_string(p, leg, at.LEG_SOCKET),
        destination=leg_string(p, leg, at.LEG_DESTINATION),
        sdp=leg_string(p, leg, at.LEG_SDP),
        reached=leg_string(p, leg, at.LEG_REACHED),
        since=get_u32(p, leg + at.LEG_SINCE),
        before=get_u32(p, leg + at.LEG_BEFORE),
        caller_since=get_u32(p, leg + at.LEG_CALLER_SINCE),
        caller_before=get_u32(p, leg + at.LEG_CALLER_BEFORE),
        state=p[leg + at.LEG_STATE],
        flags=p[leg + at.LEG_FLAGS],
        cseq=get_u32(p, leg + at.LEG_CSEQ),
        caller_cseq=get_u32(p, leg + at.LEG_CALLER_CSEQ),
        generated=get_u32(p, leg + at.LEG_GENERATED),
        caller_generated=get_u32(p, leg + at.LEG_CALLER_GENERATED),
        answered_ms=get_u64(p, leg + at.LEG_ANSWERED),
        ended_ms=get_u64(p, leg + at.LEG_ENDED),
        end_reason=get_u16(p, leg + at.LEG_END_REASON),
        end_code=get_u16(p, leg + at.LEG_END_CODE),
    )


def encode(record: DialogRecord) -> bytes:
    """The payload that `decode` makes this record of."""
    strings = [
        record.from_uri,
        record.to_uri,
        record.caller.contact,
        record.caller.routes,
        record.caller.socket,
        record.sharing_tag,
        listed(list(record.variables.items())),
        listed(record.profiles),
        record.source,
        record.caller.sdp,
        record.caller.reached,
        record.mangled_from_uri,
        record.mangled_to_uri,
    ]
    if len(record.callees) > 0xFF or len(record.profiles) > 0xFF:
        raise CorruptRecord("a dialog has more than 255 legs or profiles")
    head = bytearray(at.HEAD)
    head[0] = at.FORMAT
    head[at.AT_LEGS] = len(record.callees)
    head[at.AT_STATE] = record.state
    head[at.AT_PROFILES] = len(record.profiles)
    put_u64(head, at.AT_VERSION, record.version)
    put_u64(head, at.AT_DID, record.counter)
    put_u32(head, at.AT_EPOCH, record.epoch)
    put_u16(head, at.AT_NODE, record.node)
    put_u16(head, at.AT_OWNER, record.owner)
    for where, value in (
        (at.AT_CREATED, record.created_ms),
        (at.AT_ANSWERED, record.answered_ms),
        (at.AT_ENDED, record.ended_ms),
    ):
        put_u64(head, where, value)
    for where, value in (
        (at.AT_TIMEOUT, record.timeout_at),
        (at.AT_LIFETIME, record.lifetime),
        (at.AT_DUE, record.due),
        (at.AT_FLAGS, record.flags),
        (at.AT_USER_FLAGS, record.user_flags),
        (at.AT_BRANCH, record.branch),
        (at.AT_INVITE_CSEQ, record.invite_cseq),
    ):
        put_u32(head, where, value)
    put_u16(head, at.AT_END_REASON, record.end_reason)
    put_u16(head, at.AT_END_CODE, record.end_code)
    _put_lengths(head, at.AT_LENGTHS, strings)
    legs = []
    for leg in record.callees:
        legs.append(_encode_leg(leg, sum(map(len, strings))))
        strings += leg_strings(leg)
    put_u32(head, at.AT_LENGTH, at.HEAD + at.LEG * len(legs) + sum(map(len, strings)))
    return b"".join([bytes(head), *legs, *strings])


def _encode_leg(leg: Leg, offset: int) -> bytes:
    head = bytearray(at.LEG)
    head[at.LEG_STATE] = leg.state
    head[at.LEG_FLAGS] = leg.flags
    for where, value in (
        (at.LEG_CSEQ, leg.cseq),
        (at.LEG_CALLER_CSEQ, leg.caller_cseq),
        (at.LEG_GENERATED, leg.generated),
        (at.LEG_CALLER_GENERATED, leg.caller_generated),
        (at.LEG_AT_STRINGS, offset),
        (at.LEG_SINCE, leg.since),
        (at.LEG_BEFORE, leg.before),
        (at.LEG_CALLER_SINCE, leg.caller_since),
        (at.LEG_CALLER_BEFORE, leg.caller_before),
    ):
        put_u32(head, where, value)
    put_u64(head, at.LEG_ANSWERED, leg.answered_ms)
    put_u64(head, at.LEG_ENDED, leg.ended_ms)
    put_u16(head, at.LEG_END_REASON, leg.end_reason)
    put_u16(head, at.LEG_END_CODE, leg.end_code)
    _put_lengths(head, at.LEG_LENGTHS, leg_strings(leg))
    return bytes(head)


def leg_strings(leg: Leg) -> list[bytes]:
    """The strings of a leg in the layout's order."""
    return [leg.tag, leg.contact, leg.routes, leg.socket, leg.destination, leg.sdp, leg.reached]


def _put_lengths(head: bytearray, where: int, strings: list[bytes]) -> None:
    for index, text in enumerate(strings):
        if len(text) > 0xFFFF:
            raise CorruptRecord("a string of a dialog is longer than 65535 bytes")
        put_u16(head, where + 2 * index, len(text))
