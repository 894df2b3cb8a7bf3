"""Request methods as bits: what a phone's Allow header says it takes, in OpenSIPS' numbers."""

from typing import Final

METHOD_BITS: Final = {
    "INVITE": 1,
    "CANCEL": 2,
    "ACK": 4,
    "BYE": 8,
    "INFO": 16,
    "OPTIONS": 32,
    "UPDATE": 64,
    "REGISTER": 128,
    "MESSAGE": 256,
    "SUBSCRIBE": 512,
    "NOTIFY": 1024,
    "PRACK": 2048,
    "REFER": 4096,
    "PUBLISH": 8192,
}
OTHER_METHOD: Final = 16384  # any method not in the table
ALL_METHODS: Final = 0xFFFF_FFFF  # nothing was said: everything goes

_BY_NAME: Final = {name.encode(): bit for name, bit in METHOD_BITS.items()}


def methods_mask(allow: bytes) -> int:
    """The bits of an Allow value (methods are case-sensitive, RFC 3261 §7.1)."""
    mask = 0
    for name in allow.split(b","):
        method = name.strip()
        if method:
            mask |= _BY_NAME.get(method, OTHER_METHOD)
    return mask
