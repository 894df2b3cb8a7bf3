"""The two values every message has: Via and name-addr (RFC 3261 §20), found without copying.

As in `grammar`; `out` is an array of 24 whose last four are the parameter at hand.
"""

from __future__ import annotations

import cython

from proxy.errors import BadMessage, BadUri
from proxy.limits import bounds

if not cython.compiled:
    from proxy.sip.grammar import (
        DISPLAY,
        LWS,
        TOKEN,
        URI,
        check_scheme,
        name_at,
        same_name,
        scan_host,
        scan_number,
        scan_param,
        skip_digits,
        skip_lws,
        skip_quoted,
        span_uri,
        word_at,
    )

_CSEQ = bounds.CSEQ
_TAG_BYTES = bounds.TAG_BYTES
_PROTOCOL = int.from_bytes(b"SIP/2.0/", "little")
_BRANCH = int.from_bytes(b"branch", "little")
_RPORT = int.from_bytes(b"rport", "little")
_RECEIVED = int.from_bytes(b"received", "little")
_MADDR = int.from_bytes(b"maddr", "little")
_TTL = int.from_bytes(b"ttl", "little")
_TAG = int.from_bytes(b"tag", "little")
_Q = int.from_bytes(b"q", "little")
_EXPIRES = int.from_bytes(b"expires", "little")
_REG_ID = int.from_bytes(b"reg-id", "little")


def _scan_protocol(p: bytes, i: int, end: int) -> int:
    """The index after `SIP / 2.0 /` and white space (RFC 3261 §25.1 sent-protocol)."""
    if i + 8 < end and word_at(p, i) == _PROTOCOL and TOKEN[p[i + 8]]:
        return i + 8
    if not same_name(p, i, min(i + 3, end), b"sip"):
        raise BadMessage("Via: the protocol is not SIP")
    i = skip_lws(p, i + 3, end)
    if i >= end or p[i] != ord("/"):
        raise BadMessage("Via: bad sent-protocol")
    i = skip_lws(p, i + 1, end)
    if i + 3 > end or p[i] != ord("2") or p[i + 1] != ord(".") or p[i + 2] != ord("0"):
        raise BadMessage("Via: the version is not 2.0")
    i = skip_lws(p, i + 3, end)
    if i >= end or p[i] != ord("/"):
        raise BadMessage("Via: bad sent-protocol")
    return skip_lws(p, i + 1, end)


def scan_via(p: bytes, start: int, end: int, out: list[int]) -> int:
    """One Via value to `out`, returns the index of the comma after it, or `end`.

    out: 0-1 transport, 2-3 host (brackets included), 4 port (0 none), 5-6 branch, 7-8 received,
    9-10 rport value, 11 where its name ends, 12 the first ';' (or the end of the value),
    13 the end of the value, 14 its start, 15-16 maddr, 17-18 ttl, 19 the start of received's
    name. A start of -1 means absent; rport without a value has 9 == 10 == 11.
    """
    i = skip_lws(p, start, end)
    out[14] = i
    i = _scan_protocol(p, i, end)
    out[0] = i
    while i < end and TOKEN[p[i]]:
        i += 1
    out[1] = i
    # At least one LWS parts the transport from sent-by (via-parm of §25.1).
    if i == out[0] or i == end or not LWS[p[i]]:
        raise BadMessage("Via: bad transport")
    i = skip_lws(p, i, end)
    out[2] = i
    i = scan_host(p, i, end)
    out[3] = i
    out[4] = 0
    out[13] = i
    i = skip_lws(p, i, end)
    if i < end and p[i] == ord(":"):
        at = i = skip_lws(p, i + 1, end)
        port = 0
        last = min(end, i + 11)
        while i < last and 48 <= p[i] <= 57:
            port = port * 10 + (p[i] - 48)
            i += 1
        if not 0 < port < 65536 or i - at > 10:
            raise BadMessage("A bad port")
        out[4] = port
        out[13] = i
        i = skip_lws(p, i, end)
    out[12] = out[13]
    out[5] = out[7] = out[9] = out[15] = out[17] = -1
    if i < end and p[i] == ord(";"):
        out[12] = i
        i = _scan_via_params(p, i, end, out)
    if i < end and p[i] != ord(","):
        raise BadMessage("Via: bad parameters")
    return i


def _scan_via_params(p: bytes, i: int, end: int, out: list[int]) -> int:
    while i < end and p[i] == ord(";"):
        i = scan_param(p, i + 1, end, out)
        name = name_at(p, out[20], out[21], end)
        out[13] = out[21] if out[22] < 0 else out[23]
        slot = 0
        if name == _BRANCH:
            slot = 5
        elif name == _RPORT:
            slot = 9
            out[11] = out[21]
        elif name == _RECEIVED:
            slot = 7
            out[19] = out[20]
        elif name == _MADDR:
            slot = 15
        elif name == _TTL:
            slot = 17
        if slot == 0:
            continue
        # What is routed by: once only, and never without its value.
        if out[slot] >= 0:
            raise BadMessage("Via: a parameter twice")
        if out[22] >= 0 and out[22] < out[23]:
            out[slot] = out[22]
            out[slot + 1] = out[23]
        elif slot == 9 and out[22] < 0:
            out[9] = out[10] = out[21]  # RFC 3581 §3: the flag that asks to be filled in
        else:
            raise BadMessage("Via: a parameter without its value")
    return i


def _scan_display(p: bytes, i: int, end: int, out: list[int]) -> int:
    """A display name, if there is one; the index of the '<', or of the addr-spec."""
    if p[i] == ord('"'):
        out[1] = skip_quoted(p, i, end)
        i = skip_lws(p, out[1], end)
        if i >= end or p[i] != ord("<"):
            raise BadMessage("No <URI> after a display name")
        return i
    at = i
    while at < end and DISPLAY[p[at]]:
        at += 1
    if at < end and p[at] == ord("<"):
        out[1] = at
        return at
    return i


def scan_name_addr(p: bytes, start: int, end: int, out: list[int]) -> int:
    """One name-addr or addr-spec with its parameters; the index of the comma after it, or `end`.

    out: 0-1 display name as written, 2-3 URI, 4 the first ';' (or the end of the value), 5 the
    end of the value, 6-7 tag, 8 in <>, 9 the start of the value; of a Contact: 10-11 q,
    12-13 expires, 14-15 +sip.instance, 16-17 reg-id. A start of -1 means absent, and a
    tag then ends at -1 as well.
    """
    i = skip_lws(p, start, end)
    if i >= end:
        raise BadMessage("An address is missing")
    out[9] = i
    out[0] = out[1] = i
    if p[i] != ord("<"):
        i = _scan_display(p, i, end, out)
    out[8] = p[i] == ord("<")
    if out[8]:
        i += 1
    out[2] = i
    if out[8]:
        i = span_uri(p, i, end, URI)
        out[3] = i
        if i >= end or p[i] != ord(">"):
            raise BadUri("A URI in <> does not end")
        i += 1
    else:
        # RFC 3261 §20: with a comma, question mark or semicolon in it, a URI must be in <>.
        while i < end and URI[p[i]] and p[i] != ord(";") and p[i] != ord(","):
            if p[i] == ord("?"):
                raise BadUri("A URI with a question mark outside <>")
            i += 1
        out[3] = i
    check_scheme(p, out[2], out[3])
    out[4] = out[5] = i
    out[6] = out[7] = out[10] = out[12] = out[14] = out[16] = -1
    i = skip_lws(p, i, end)
    if i < end and p[i] == ord(";"):
        out[4] = i
        i = _scan_address_params(p, i, end, out)
    if i < end and p[i] != ord(","):
        raise BadMessage("Something after an address that is no parameter")
    return i


def _scan_address_params(p: bytes, i: int, end: int, out: list[int]) -> int:
    while i < end and p[i] == ord(";"):
        i = scan_param(p, i + 1, end, out)
        at = out[20]
        name = name_at(p, at, out[21], end)
        out[5] = out[21] if out[22] < 0 else out[23]
        slot = 0
        if name == _TAG:
            slot = 6
            # CVE-2018-14767: a tag without a value.
            if out[22] < 0 or out[22] == out[23] or p[out[22]] == ord('"'):
                raise BadMessage("A tag without a value")
        elif name == _Q:
            slot = 10
        elif name == _EXPIRES:
            slot = 12
        elif name == 0 and same_name(p, at, out[21], b"+sip.instance"):
            slot = 14
        elif name == _REG_ID:
            slot = 16
        if slot:
            if out[slot] >= 0:
                raise BadMessage("A parameter twice")
            out[slot] = at if out[22] < 0 else out[22]
            out[slot + 1] = at if out[22] < 0 else out[23]
    return i


def scan_cseq(p: bytes, start: int, end: int, out: list[int]) -> int:
    """`number LWS method` (RFC 3261 §20.16): out[0] = the number, out[1:3] = the method."""
    after = skip_digits(p, start, end)
    method = i = skip_lws(p, after, end)
    while i < end and TOKEN[p[i]]:
        i += 1
    out[0] = scan_number(p, start, after, _CSEQ)
    out[1] = method
    out[2] = i
    if out[0] < 0 or method == after or i == method or i != end:
        raise BadMessage("CSeq: not a number below 2^31 and a method")
    return 0


def _scan_party(p: bytes, start: int, end: int, out: list[int]) -> int:
    """One address and a tag of reasonable length."""
    if scan_name_addr(p, start, end, out) != end:
        raise BadMessage("more than one address")
    if out[6] >= 0 and out[7] - out[6] > _TAG_BYTES:
        raise BadMessage("the tag is too long")
    return 0


def scan_parties(
    p: bytes,
    from_start: int,
    from_end: int,
    from_at: list[int],
    to_start: int,
    to_end: int,
    to_at: list[int],
) -> int:
    """The values of From and To, each as scan_name_addr() has it."""
    name = "From"
    try:
        _scan_party(p, from_start, from_end, from_at)
        name = "To"
        _scan_party(p, to_start, to_end, to_at)
    except BadMessage as error:
        raise BadMessage(f"{name}: {error.reason}", error.status) from None
    return 0
