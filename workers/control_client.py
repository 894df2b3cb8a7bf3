"""The other end of the control socket: what `sipherd ctl` asks with."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, Final

import orjson

from proxy.errors import SipherdError
from workers.tables import CONTROL_SOCKET

TIMEOUT_S: Final = 60.0


def ask(
    folder: Path,
    method: str,
    params: list[Any] | dict[str, Any],
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Any]:
    """The JSON-RPC answer of the server whose runtime folder is `folder`."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    try:
        with _connect(folder, timeout_s) as server:
            server.sendall(orjson.dumps(request, option=orjson.OPT_APPEND_NEWLINE))
            with server.makefile("rb") as lines:
                line = lines.readline()
    except (BrokenPipeError, ConnectionResetError):
        line = b""
    except TimeoutError:
        raise SipherdError(f"no answer within {timeout_s:.0f} s.") from None
    except OSError as error:
        raise SipherdError(
            f"no server answers at {folder / CONTROL_SOCKET}: {error.strerror}."
        ) from None
    if not line.endswith(b"\n"):  # no memory for it, say: its log knows
        raise SipherdError("the server ended the connection without a whole answer.")
    answer: dict[str, Any] = orjson.loads(line)
    return answer


def _connect(folder: Path, timeout_s: float) -> socket.socket:
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.settimeout(timeout_s)
        server.connect(f"/proc/self/fd/{directory}/{CONTROL_SOCKET}")
    except OSError:
        server.close()
        raise
    finally:
        os.close(directory)
    return server
