"""Messages of one call, for tests of what becomes of its dialog."""

from __future__ import annotations

from proxy.sip.message import Message, parse


def invite(
    number: int = 1,
    cseq: int = 1,
    contact: bytes = b"<sip:a@192.0.2.1>",
    branch: bytes = b"z9hG4bKx",
) -> Message:
    return parse(
        b"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=%b\r\n"
        b"From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>\r\n"
        b"Call-ID: call-%d\r\nCSeq: %d INVITE\r\nContact: %b\r\n\r\n"
        % (branch, number, cseq, contact)
    )


def response(
    status: int, tag: bytes = b"b", number: int = 1, routes: bytes = b"", cseq: int = 1
) -> Message:
    return parse(
        b"SIP/2.0 %d Answer\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKy\r\n%b"
        b"From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>;tag=%b\r\n"
        b"Call-ID: call-%d\r\nCSeq: %d INVITE\r\nContact: <sip:b@192.0.2.2>\r\n\r\n"
        % (status, routes, tag, number, cseq)
    )


def within(
    method: bytes, cseq: int, of: bytes = b"a", to: bytes = b"b", number: int = 1
) -> Message:
    return parse(
        b"%b sip:b@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKz\r\n"
        b"From: <sip:x@example.com>;tag=%b\r\nTo: <sip:y@example.com>;tag=%b\r\n"
        b"Call-ID: call-%d\r\nCSeq: %d %b\r\n\r\n" % (method, of, to, number, cseq, method)
    )
