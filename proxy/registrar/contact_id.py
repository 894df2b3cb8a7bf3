"""The number of a contact: `contact_id` of OpenSIPS' table and of `ul_show_contact`."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

MASK: Final = 2**63 - 1  # SQLite's integers have a sign


def contact_id(aor: bytes, contact: bytes, call_id: bytes = b"") -> int:
    """The same on every node and after every restart; `call_id` where it tells contacts apart."""
    digest = blake2b(b"%d:%b%b\0%b" % (len(aor), aor, contact, call_id), digest_size=8).digest()
    return int.from_bytes(digest, "big") & MASK or 1
