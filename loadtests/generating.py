"""Builds the generators in C, and runs generator.c against a server."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from loadtests.ports import free_port
from loadtests.servers import Server, json_line

HERE = Path(__file__).parent
HEADERS = (HERE / "sip_load.h", HERE / "sha256.h")


def build(name: str = "generator") -> Path:
    """The compiled program `name`.c, built once per version of its source."""
    source = HERE / f"{name}.c"
    sources = b"".join(path.read_bytes() for path in (source, *HEADERS))
    mark = hashlib.sha256(sources).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / "sipherd-loadtests"
    folder.mkdir(exist_ok=True)
    binary = folder / f"{name}-{mark}"
    if not binary.exists():
        unfinished = binary.with_suffix(".new")
        subprocess.run(
            ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(unfinished), str(source)],
            check=True,
        )
        unfinished.rename(binary)
    return binary


def local_ports(server: Server) -> int:
    """The generator's first port: the same for a server's life, or each run would add contacts."""
    if not server.generator_port:
        server.generator_port = free_port(2)
    return server.generator_port


def generate(
    server: Server, mode: str, *options: object, timeout: float = 180, strict: bool = True
) -> dict[str, Any]:
    """One run of the generator; its JSON. If `strict`, raises when an operation failed."""
    done = subprocess.run(
        [
            str(build()),
            mode,
            "-t",
            f"{server.host}:{server.port}",
            "-p",
            str(server.pid),
            "-f",
            str(local_ports(server)),
            "-D",
            server.domain,
            *map(str, options),
        ],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode == 2 or not done.stdout:
        raise RuntimeError(f"generator {mode}: {done.stderr}")
    found: dict[str, Any] = json_line(done.stdout)
    if done.returncode and strict:
        said = server.log[-2_000:]
        raise RuntimeError(f"{server.name}, {mode}: operations failed: {found}\n{said}")
    return found
