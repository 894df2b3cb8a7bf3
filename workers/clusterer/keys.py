"""CURVE keys: a pair for each node, the secret half in a file of its own."""

from __future__ import annotations

import os
from pathlib import Path

import zmq

from proxy.errors import SipherdError


def public_key(secret: str) -> str:
    """The public key that belongs to a secret one."""
    return zmq.curve_public(secret.encode()).decode()


def generate(file: Path) -> str:
    """Make a pair, write the secret key to a new file that only its owner can read; the public."""
    public, secret = zmq.curve_keypair()
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as out:
            out.write(secret + b"\n")
    except OSError as error:
        raise SipherdError(f"{file} cannot be made: {error.strerror}.") from None
    return public.decode()
