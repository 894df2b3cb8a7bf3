"""Hostile inputs that concern the parser, by name, with the verdict each must get."""

from __future__ import annotations

from dataclasses import dataclass

from tests.wire import wire

FIRST = "OPTIONS sip:ben@example.com SIP/2.0\n"
HEADERS = """\
Via: SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bK-evil
Max-Forwards: 70
From: <sip:ann@example.net>;tag=evil
To: <sip:ben@example.com>
Call-ID: evil@192.0.2.66
CSeq: 7 OPTIONS
"""


@dataclass(frozen=True)
class Hostile:
    """`verdict` is 0 when the message may be read, else the status it is refused with."""

    name: str
    verdict: int
    data: bytes


def with_lines(lines: str = "", body: bytes = b"") -> bytes:
    return wire(FIRST + HEADERS + lines, body)


def without(line: str, lines: str = "", first: str = FIRST) -> bytes:
    """The usual message with `lines` in place of the one that begins with `line`."""
    kept = [one for one in HEADERS.splitlines(keepends=True) if not one.startswith(line + ":")]
    return wire(first + "".join(kept) + lines)


def length(value: str, body: bytes = b"") -> bytes:
    return with_lines(f"Content-Length: {value}\n", body)


def sdp(text: bytes) -> bytes:
    body = b"v=0\r\no=- 1 1 IN IP4 192.0.2.66\r\ns=-\r\n" + text
    return with_lines("Content-Type: application/sdp\nContent-Length: {length}\n", body)


def register(lines: str) -> bytes:
    text = (FIRST + HEADERS).replace("OPTIONS", "REGISTER")
    return wire(text + lines + "Content-Length: 0\n")


def to_uri(uri: str) -> bytes:
    return without("To", f"To: <{uri}>\n")


def request_uri(uri: str) -> bytes:
    return wire(f"OPTIONS {uri} SIP/2.0\n" + HEADERS)


def raw(lines: bytes) -> bytes:
    return wire(FIRST + HEADERS)[:-2] + lines + b"\r\n\r\n"


MULTIPART = "Content-Type: multipart/mixed{boundary}\nContent-Length: {length}\n"

INPUTS = [
    Hostile(
        "via_uninit_md5",
        400,
        b"OPTIONS sip:x@y SIP/2.0\nVia: SIP/2.0/\x16UD~PTo :::]\nVia: SIP/2.0/\x16UD~PTo :::]\n"
        b"\x16ia: SIP/2.0/UD~PTo ::trA>\nTo:. <sv:>;tga\x91o5;tga=0fe\r\n\r\n",
    ),
    Hostile("tel_ruri_setport", 0, request_uri("tel:+12125550123")),
    Hostile("urn_ruri", 0, request_uri("urn:service:sos.police")),
    Hostile("tel_ruri_empty", 400, request_uri("tel:")),
    Hostile("to_param_backslash_end", 400, without("To", 'To: <sip:a@b>;tag="abc\\\n')),
    Hostile("to_param_unterminated_quote", 400, without("To", 'To: <sip:a@b>;x="abc\n')),
    Hostile("to_tag_empty", 400, without("To", "To: <sip:a@b>;tag=\n")),
    Hostile("to_tag_flag", 400, without("To", "To: <sip:a@b>;tag\n")),
    Hostile("to_tag_twice", 400, without("To", "To: <sip:a@b>;tag=1;tag=2\n")),
    Hostile("to_double_with_empty_tag", 400, with_lines("To: <sip:a@b>;tag=\n")),
    Hostile("sdp_no_final_lf", 0, sdp(b"m=audio 4 RTP/AVP 0")),
    Hostile("sdp_a_empty", 0, sdp(b"m=audio 4 RTP/AVP 0\r\na=\r\na=fmtp:\r\na=rtpmap:\r\n")),
    Hostile("sdp_a_fmtp_nul", 0, sdp(b"m=audio 4 RTP/AVP 0\r\na=fmtp\x00:101\r\n")),
    Hostile("sdp_b_no_colon", 0, sdp(b"b=AS\r\n")),
    *(
        Hostile(f"dup_{line.split(':')[0].lower()}", 400, with_lines(line))
        for line in HEADERS.splitlines(keepends=True)
        if not line.startswith("Via")
    ),
    Hostile("dup_compact", 400, with_lines("f: <sip:eve@example.net>;tag=2\n")),
    Hostile("dup_call_id_compact", 400, with_lines("i: other@192.0.2.66\n")),
    Hostile("dup_expires", 400, with_lines("Expires: 1\nexpires: 2\n")),
    Hostile("cl_2p31", 400, length("2147483648")),
    Hostile("cl_2p32_plus_32", 400, length("4294967328", b"x" * 32)),
    Hostile("cl_20_digits", 400, length("99999999999999999999")),
    Hostile("cl_negative", 400, length("-1")),
    Hostile("cl_plus", 400, length("+1", b"x")),
    Hostile("cl_hex", 400, length("0x1", b"x")),
    Hostile("cl_empty", 400, length("")),
    Hostile("cl_inner_space", 400, length("1 0", b"x" * 10)),
    Hostile("cl_comma", 400, length("1, 1", b"x")),
    Hostile("cl_two_values", 400, with_lines("Content-Length: 1\nContent-Length: 2\n", b"xx")),
    Hostile("cl_two_equal", 400, with_lines("Content-Length: 1\nl: 1\n", b"x")),
    Hostile("cl_gt_datagram", 400, length("11", b"x" * 10)),
    Hostile("cl_less_than_datagram", 0, length("5", b"x" * 10)),
    Hostile("auth_truncated", 0, with_lines('Authorization: Digest username="a",\n')),
    Hostile("auth_param_at_end", 0, with_lines("Authorization: Digest username\n")),
    Hostile("auth_missing_fields_register", 0, register("Authorization: Digest\n")),
    Hostile("from_tag_282", 400, without("From", "From: <sip:a@b>;tag=bk1Rd" + "Y" * 277 + "\n")),
    Hostile("hdr_ws_before_colon", 0, without("Call-ID", "Call-ID \t: evil@192.0.2.66\n")),
    Hostile("hdr_ws_before_colon_dup", 400, with_lines("Call-ID : other@192.0.2.66\n")),
    Hostile("hdr_fold_in_name", 400, raw(b"Subj\r\n ect: x")),
    Hostile("hdr_fold_before_colon", 400, raw(b"Subject\r\n : x")),
    Hostile("hdr_fold_first_line", 400, wire(FIRST + " folded: x\n" + HEADERS)),
    Hostile("hdr_fold_blank", 400, raw(b"Subject: x\r\n \t")),
    Hostile("hdr_no_colon", 400, raw(b"Subject")),
    Hostile("hdr_no_name", 400, raw(b": value")),
    Hostile("hdr_nul", 400, raw(b"Subject: a\x00b")),
    Hostile("hdr_nul_in_name", 400, raw(b"Sub\x00ject: ab")),
    Hostile("hdr_nul_in_quotes_bare", 400, raw(b'Subject: "a\x00b"')),
    Hostile("hdr_nul_quoted_pair", 0, raw(b'Subject: "a\\\x00b"')),
    Hostile("hdr_nul_escaped_outside_quotes", 400, raw(b"Subject: a\\\x00b")),
    Hostile("hdr_control", 400, raw(b"Subject: a\x08b")),
    Hostile("hdr_bare_lf", 400, raw(b"Subject: a\nX-Evil: b")),
    Hostile("hdr_bare_cr", 400, raw(b"Subject: a\rX-Evil: b")),
    Hostile("hdr_lf_only_message", 400, wire(FIRST + HEADERS).replace(b"\r\n", b"\n")),
    Hostile("hdr_end_missing", 400, wire(FIRST + HEADERS)[:-2]),
    Hostile("hdr_end_half", 400, wire(FIRST + HEADERS)[:-1]),
    Hostile("hdr_end_bare_lf", 400, wire(FIRST + HEADERS)[:-2] + b"\n"),
    Hostile("cseq_method_1500", 400, without("CSeq", "CSeq: 7 " + "A" * 1500 + "\n")),
    Hostile(
        "method_1500",
        400,
        without(
            "CSeq", "CSeq: 7 " + "A" * 1500 + "\n", "A" * 1500 + " sip:b@example.com SIP/2.0\n"
        ),
    ),
    Hostile("cseq_2p31", 400, without("CSeq", "CSeq: 2147483648 OPTIONS\n")),
    Hostile("cseq_2p31_minus_1", 0, without("CSeq", "CSeq: 2147483647 OPTIONS\n")),
    Hostile("cseq_20_digits", 400, without("CSeq", "CSeq: 18446744073709551623 OPTIONS\n")),
    Hostile("cseq_no_space", 400, without("CSeq", "CSeq: 7OPTIONS\n")),
    Hostile("cseq_trailing", 400, without("CSeq", "CSeq: 7 OPTIONS x\n")),
    Hostile("cseq_no_number", 400, without("CSeq", "CSeq: OPTIONS\n")),
    Hostile("accept_x50", 0, with_lines(("Accept: " + "a/b, " * 60 + "c/d\n") * 50)),
    Hostile("headers_129", 400, with_lines("X-Many: 1\n" * 123)),
    Hostile("headers_128", 0, with_lines("X-Many: 1\n" * 122)),
    Hostile(
        "multipart_boundary_missing",
        0,
        with_lines(MULTIPART.replace("{boundary}", ""), b"--x\r\n\r\n--x--"),
    ),
    Hostile(
        "multipart_empty_part",
        0,
        with_lines(MULTIPART.replace("{boundary}", ";boundary=++"), b"--++\r\n--++--\r\n"),
    ),
    Hostile("request_line_1024", 0, request_uri("sip:" + "a" * 240 + "@b;x=" + "y" * 750)),
    Hostile("request_line_8192", 414, request_uri("sip:a@b;x=" + "y" * 8_150)),
    Hostile("request_line_65000", 414, request_uri("sip:a@b;x=" + "y" * 64_000)),
    Hostile("header_name_300", 400, with_lines("X-" + "a" * 298 + ": 1\n")),
    Hostile("header_line_9000", 400, with_lines("Subject: " + "a" * 9_000 + "\n")),
    Hostile("max_fwd_256", 400, without("Max-Forwards", "Max-Forwards: 256\n")),
    Hostile("max_fwd_minus_1", 400, without("Max-Forwards", "Max-Forwards: -1\n")),
    Hostile("max_fwd_empty", 400, without("Max-Forwards", "Max-Forwards:\n")),
    Hostile("max_fwd_absent", 0, without("Max-Forwards")),
    Hostile("expires_2p32", 0, register("Expires: 4294967296\n")),
    Hostile("contact_star_and_other", 400, register("Contact: *\nContact: <sip:a@b>\n")),
    Hostile("contact_star_param", 400, register("Contact: *;expires=0\n")),
    Hostile("contact_1000", 400, register("Contact: " + ", ".join(["<sip:a@b>"] * 600) + "\n")),
    Hostile("contact_q_9_9", 400, register("Contact: <sip:a@b>;q=9.9\n")),
    Hostile("contact_unclosed", 400, register("Contact: <sip:a@b\n")),
    Hostile("contact_trailing_comma", 400, register("Contact: <sip:a@b>,\n")),
    Hostile("rr_maddr_long", 400, with_lines(f"Route: <sip:a@b;lr;maddr={'m' * 9_000}>\n")),
    Hostile("rr_maddr_twice", 400, with_lines("Route: <sip:a@b;lr;maddr=x;maddr=y>\n")),
    Hostile("route_without_brackets", 400, with_lines("Route: sip:evil.example.com;lr\n")),
    Hostile("record_route_100", 400, with_lines("Record-Route: <sip:a@b;lr>\n" * 100)),
    Hostile("via_100", 483, with_lines("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\n" * 100)),
    Hostile(
        "via_100_in_two_lines",
        483,
        with_lines("Via: " + ", ".join(["SIP/2.0/UDP 192.0.2.1;branch=z9"] * 100) + "\n"),
    ),
    Hostile("via_no_host", 400, without("Via", "Via: SIP/2.0/UDP ;branch=z9hG4bK1\n")),
    Hostile("via_no_port", 400, without("Via", "Via: SIP/2.0/UDP h:;branch=z9hG4bK1\n")),
    Hostile("via_branch_twice", 400, without("Via", "Via: SIP/2.0/UDP h;branch=a;branch=b\n")),
    Hostile("via_received_empty", 400, without("Via", "Via: SIP/2.0/UDP h;received=\n")),
    Hostile("via_rport_70000", 400, without("Via", "Via: SIP/2.0/UDP h;rport=70000;branch=a\n")),
    Hostile("via_unterminated_quote", 400, without("Via", 'Via: SIP/2.0/UDP h;x="a\n')),
    Hostile("via_empty", 400, without("Via", "Via:\n")),
    Hostile("uri_userinfo_sql", 0, to_uri("sip:a'--%20OR%201=1%22@example.com")),
    Hostile("uri_userinfo_sql_quote", 400, to_uri('sip:a" OR 1=1@example.com')),
    Hostile("uri_%00_user", 0, to_uri("sip:null-%00-null@example.com")),
    Hostile("uri_two_at", 400, to_uri("sip:ben@evil.example.com@example.com")),
    Hostile("uri_bad_escape", 400, to_uri("sip:a%4@example.com")),
    Hostile("uri_no_host", 400, to_uri("sip:ben@")),
    Hostile("uri_empty_user", 400, to_uri("sip:@example.com")),
    Hostile("uri_no_scheme", 400, to_uri("ben@example.com")),
    Hostile("uri_aor_300", 400, to_uri("sip:" + "a" * 290 + "@example.com")),
    Hostile("uri_65_params", 400, to_uri("sip:a@b" + ";p" * 65)),
    Hostile("utf8_overlong", 400, without("To", "To: \xc0\xa2Ben <sip:ben@example.com>\n")),
    Hostile("utf8_overlong_3", 400, without("To", "To: \xe0\x80\xa2B <sip:ben@example.com>\n")),
    Hostile("utf8_overlong_4", 400, without("To", "To: \xf0\x80\x80\xa2 <sip:b@example.com>\n")),
    Hostile("utf8_display", 0, without("To", 'To: "J\xc3\xbcrgen" <sip:ben@example.com>\n')),
    Hostile("latin1_display", 0, without("To", 'To: "J\xfcrgen" <sip:ben@example.com>\n')),
    Hostile("utf8_in_uri", 400, request_uri("sip:j\xc3\xbcrgen@example.com")),
    Hostile("uri_ipv6_zone", 400, request_uri("sip:ben@[fe80::1%25eth0]")),
    Hostile("port_0", 400, request_uri("sip:ben@example.com:0")),
    Hostile("port_65536", 400, request_uri("sip:ben@example.com:65536")),
    Hostile("port_empty", 400, request_uri("sip:ben@example.com:")),
    Hostile("via_port_0", 400, without("Via", "Via: SIP/2.0/UDP h:0;branch=z9hG4bK1\n")),
    Hostile("via_port_65536", 400, without("Via", "Via: SIP/2.0/UDP h:65536;branch=z9hG4bK1\n")),
    Hostile("transport_unknown", 0, request_uri("sip:ben@example.com;transport=pigeon")),
    Hostile("transport_twice", 400, request_uri("sip:a@b;transport=udp;transport=tcp")),
    Hostile("status_bigcode", 400, wire("SIP/2.0 4294967301 no\n" + HEADERS)),
    Hostile("status_099", 400, wire("SIP/2.0 099 no\n" + HEADERS)),
    Hostile("status_700", 400, wire("SIP/2.0 700 no\n" + HEADERS)),
    Hostile("status_20", 400, wire("SIP/2.0 20\n" + HEADERS)),
    Hostile("status_control", 400, wire("SIP/2.0 200 O\x00K\n" + HEADERS)),
    Hostile("reply_no_via", 400, without("Via", first="SIP/2.0 200 OK\n")),
    Hostile("version_3", 505, wire("OPTIONS sip:a@b SIP/3.0\n" + HEADERS)),
    Hostile("version_20", 505, wire("OPTIONS sip:a@b SIP/2.00\n" + HEADERS)),
    Hostile("version_http", 400, wire("OPTIONS sip:a@b HTTP/1.1\n" + HEADERS)),
    Hostile("version_missing", 400, wire("OPTIONS sip:a@b\n" + HEADERS)),
    Hostile("call_id_256", 400, without("Call-ID", "Call-ID: " + "c" * 256 + "\n")),
    Hostile("call_id_two_words", 400, without("Call-ID", "Call-ID: one two\n")),
    Hostile("call_id_comma", 400, without("Call-ID", "Call-ID: one,two\n")),
    Hostile("call_id_empty", 400, without("Call-ID", "Call-ID:\n")),
    Hostile("from_two_addresses", 400, without("From", "From: <sip:a@b>;tag=1, <sip:c@d>\n")),
    Hostile("from_two_uris", 400, without("From", "From: sip:a@b <sip:c@d>;tag=1\n")),
    Hostile("keepalive_crlf", 400, b"\r\n\r\n"),
    Hostile("crlf_before_request", 0, b"\r\n\r\n" + wire(FIRST + HEADERS)),
    Hostile("1-byte", 400, b"\x00"),
    Hostile("0-byte", 400, b""),
    Hostile("65507-byte", 0, length("65000", b"x" * 65_000)),
    Hostile("65507-byte-noise", 400, bytes(range(256)) * 255),
    Hostile("65536-byte", 513, length("60000", b"x" * 65_536)),
]
