"""The algorithms of RFC 8760 by number, and what follows from each."""

from __future__ import annotations

from typing import Final

MD5: Final = 1
MD5_SESS: Final = 2
SHA_256: Final = 3
SHA_256_SESS: Final = 4
SHA_512_256: Final = 5
SHA_512_256_SESS: Final = 6

NAMES: Final[dict[int, bytes]] = {
    MD5: b"MD5",
    MD5_SESS: b"MD5-sess",
    SHA_256: b"SHA-256",
    SHA_256_SESS: b"SHA-256-sess",
    SHA_512_256: b"SHA-512-256",
    SHA_512_256_SESS: b"SHA-512-256-sess",
}
# Hexadecimal digits of a response, by number.
SIZES: Final = (0, 32, 32, 64, 64, 64, 64)
# The stronger one first: a client answers the topmost that it knows (RFC 8760 §2.4).
STRENGTH: Final = (SHA_512_256, SHA_512_256_SESS, SHA_256, SHA_256_SESS, MD5, MD5_SESS)

# The hash below an algorithm, which is also the column of `subscriber` that holds its HA1.
HASHES: Final = ("md5", "sha256", "sha512_256")
HASH_OF: Final = (0, 0, 0, 1, 1, 2, 2)
