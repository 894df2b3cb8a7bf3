"""The header fields the core knows: small numbers, full names, compact forms (RFC 3261 §7.3.3)."""

from typing import Final

UNKNOWN: Final = 0
VIA: Final = 1
FROM: Final = 2
TO: Final = 3
CALL_ID: Final = 4
CSEQ: Final = 5
CONTACT: Final = 6
ROUTE: Final = 7
RECORD_ROUTE: Final = 8
MAX_FORWARDS: Final = 9
CONTENT_LENGTH: Final = 10
EXPIRES: Final = 11
CONTENT_TYPE: Final = 12
AUTHORIZATION: Final = 13
PROXY_AUTHORIZATION: Final = 14
WWW_AUTHENTICATE: Final = 15
PROXY_AUTHENTICATE: Final = 16
PATH: Final = 17
SUPPORTED: Final = 18
REQUIRE: Final = 19
PROXY_REQUIRE: Final = 20
UNSUPPORTED: Final = 21
ALLOW: Final = 22
USER_AGENT: Final = 23
SERVER: Final = 24
EVENT: Final = 25
MAX_BREADTH: Final = 26
TIMESTAMP: Final = 27
RETRY_AFTER: Final = 28
MIN_EXPIRES: Final = 29
SERVICE_ROUTE: Final = 30
SESSION_EXPIRES: Final = 31
MIN_SE: Final = 32
REPLACES: Final = 33
REFER_TO: Final = 34
REFERRED_BY: Final = 35
P_ASSERTED_IDENTITY: Final = 36
P_PREFERRED_IDENTITY: Final = 37
PRIVACY: Final = 38
DIVERSION: Final = 39
SUBJECT: Final = 40
CONTENT_ENCODING: Final = 41
ALLOW_EVENTS: Final = 42
ACCEPT: Final = 43
DATE: Final = 44
SUBSCRIPTION_STATE: Final = 45
SIP_ETAG: Final = 46
SIP_IF_MATCH: Final = 47
REASON: Final = 48
WARNING: Final = 49
IDENTITY: Final = 50
ACCEPT_CONTACT: Final = 51
REJECT_CONTACT: Final = 52
REQUEST_DISPOSITION: Final = 53
ORGANIZATION: Final = 54
PRIORITY: Final = 55
CONTENT_DISPOSITION: Final = 56
MIME_VERSION: Final = 57
HISTORY_INFO: Final = 58

NAMES: Final[dict[int, bytes]] = {
    VIA: b"Via",
    FROM: b"From",
    TO: b"To",
    CALL_ID: b"Call-ID",
    CSEQ: b"CSeq",
    CONTACT: b"Contact",
    ROUTE: b"Route",
    RECORD_ROUTE: b"Record-Route",
    MAX_FORWARDS: b"Max-Forwards",
    CONTENT_LENGTH: b"Content-Length",
    EXPIRES: b"Expires",
    CONTENT_TYPE: b"Content-Type",
    AUTHORIZATION: b"Authorization",
    PROXY_AUTHORIZATION: b"Proxy-Authorization",
    WWW_AUTHENTICATE: b"WWW-Authenticate",
    PROXY_AUTHENTICATE: b"Proxy-Authenticate",
    PATH: b"Path",
    SUPPORTED: b"Supported",
    REQUIRE: b"Require",
    PROXY_REQUIRE: b"Proxy-Require",
    UNSUPPORTED: b"Unsupported",
    ALLOW: b"Allow",
    USER_AGENT: b"User-Agent",
    SERVER: b"Server",
    EVENT: b"Event",
    MAX_BREADTH: b"Max-Breadth",
    TIMESTAMP: b"Timestamp",
    RETRY_AFTER: b"Retry-After",
    MIN_EXPIRES: b"Min-Expires",
    SERVICE_ROUTE: b"Service-Route",
    SESSION_EXPIRES: b"Session-Expires",
    MIN_SE: b"Min-SE",
    REPLACES: b"Replaces",
    REFER_TO: b"Refer-To",
    REFERRED_BY: b"Referred-By",
    P_ASSERTED_IDENTITY: b"P-Asserted-Identity",
    P_PREFERRED_IDENTITY: b"P-Preferred-Identity",
    PRIVACY: b"Privacy",
    DIVERSION: b"Diversion",
    SUBJECT: b"Subject",
    CONTENT_ENCODING: b"Content-Encoding",
    ALLOW_EVENTS: b"Allow-Events",
    ACCEPT: b"Accept",
    DATE: b"Date",
    SUBSCRIPTION_STATE: b"Subscription-State",
    SIP_ETAG: b"SIP-ETag",
    SIP_IF_MATCH: b"SIP-If-Match",
    REASON: b"Reason",
    WARNING: b"Warning",
    IDENTITY: b"Identity",
    ACCEPT_CONTACT: b"Accept-Contact",
    REJECT_CONTACT: b"Reject-Contact",
    REQUEST_DISPOSITION: b"Request-Disposition",
    ORGANIZATION: b"Organization",
    PRIORITY: b"Priority",
    CONTENT_DISPOSITION: b"Content-Disposition",
    MIME_VERSION: b"MIME-Version",
    HISTORY_INFO: b"History-Info",
}

# The IANA registry's compact forms; `d`, `j` and `a` come from RFC 3841, `y` from RFC 8224.
COMPACT: Final[dict[bytes, int]] = {
    b"v": VIA,
    b"f": FROM,
    b"t": TO,
    b"i": CALL_ID,
    b"m": CONTACT,
    b"l": CONTENT_LENGTH,
    b"c": CONTENT_TYPE,
    b"k": SUPPORTED,
    b"o": EVENT,
    b"x": SESSION_EXPIRES,
    b"r": REFER_TO,
    b"b": REFERRED_BY,
    b"s": SUBJECT,
    b"e": CONTENT_ENCODING,
    b"u": ALLOW_EVENTS,
    b"y": IDENTITY,
    b"a": ACCEPT_CONTACT,
    b"j": REJECT_CONTACT,
    b"d": REQUEST_DISPOSITION,
}

# Header fields whose grammar has one value, so that a second line would let two parsers differ.
SINGLETONS: Final = frozenset(
    {
        FROM,
        TO,
        CALL_ID,
        CSEQ,
        MAX_FORWARDS,
        CONTENT_LENGTH,
        EXPIRES,
        CONTENT_TYPE,
        EVENT,
        MAX_BREADTH,
        MIN_EXPIRES,
        SESSION_EXPIRES,
        MIN_SE,
        REPLACES,
        REFER_TO,
        REFERRED_BY,
        SUBSCRIPTION_STATE,
        SIP_ETAG,
        SIP_IF_MATCH,
        TIMESTAMP,
        RETRY_AFTER,
        CONTENT_DISPOSITION,
        MIME_VERSION,
        DATE,
    }
)
REQUIRED: Final = (VIA, FROM, TO, CALL_ID, CSEQ)  # RFC 3261 §8.1.1, Max-Forwards is filled in
SINGLETON_BITS: Final = sum(1 << number for number in SINGLETONS)
REQUIRED_BITS: Final = sum(1 << number for number in REQUIRED)

_BY_NAME: Final = {name.lower(): number for number, name in NAMES.items()} | COMPACT


def header_id(name: bytes) -> int:
    """The number of a header name, full or compact, in any case; UNKNOWN for the rest."""
    return _BY_NAME.get(name.lower(), UNKNOWN)
