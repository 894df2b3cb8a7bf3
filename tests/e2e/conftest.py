"""End-to-end fixtures: a real server as a process, real telephones around it.

`SIPHERD_E2E_SERVER=kamailio` runs what does not need our control socket against Kamailio: a test
that fails there too is more likely wrong than the server.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from loadtests.servers import Kamailio, Server, Sipherd
from tests.e2e.baresip_runner import Baresip
from tests.e2e.phone import Phone
from tests.e2e.sipp_runner import Sipp

HERE = Path(__file__).resolve().parent
STAND_IN = os.environ.get("SIPHERD_E2E_SERVER") == "kamailio"
COMPLAINTS = ("Traceback", "CRITICAL", "Segmentation", "core dumped", "AssertionError")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("compiled")
            if STAND_IN and item.get_closest_marker("ours"):
                item.add_marker(pytest.mark.skip(reason="needs sipherd's own commands"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "ours: needs sipherd's own commands, not any SIP server")


def run_server(directory: Path, **options: object) -> Iterator[Server]:
    """Start a server, hand it out, stop it by SIGTERM, and look at what it leaves."""
    kind = Kamailio if STAND_IN else Sipherd
    server = kind(directory, ipv6=True, **options)  # type: ignore[arg-type]
    if isinstance(server, Kamailio):
        server.defines = ("STRIP_ROUTE",)
    server.start()
    try:
        yield server
        assert server.process is not None
        assert server.process.poll() is None, f"the server ended by itself:\n{server.log[-4000:]}"
        status = server.stop()
        assert status == 0, f"exit status {status} after SIGTERM:\n{server.log[-4000:]}"
        found = [word for word in COMPLAINTS if word in server.log]
        assert not found, f"{found} in the log:\n{server.log[-6000:]}"
    finally:
        server.kill_everything()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with two UDP workers for the tests of a module."""
    yield from run_server(tmp_path_factory.mktemp("server"))


@pytest.fixture
def sipherd(server: Server) -> Sipherd:
    """The server, for tests that use our own commands."""
    assert isinstance(server, Sipherd)
    return server


@pytest.fixture
def phone(server: Server) -> Iterator[Callable[..., Phone]]:
    """Makes scripted telephones of this server: `phone("alice")`."""
    with ExitStack() as stack:

        def make(user: str, local: str = "127.0.0.1") -> Phone:
            return stack.enter_context(Phone(user, (local, server.port), local))

        yield make


@pytest.fixture
def sipp(server: Server, tmp_path: Path) -> Iterator[Callable[..., Sipp]]:
    """Starts SIPp on one of our scenarios; none outlives the test."""
    with ExitStack() as stack:

        def start(scenario: str, local: str = "127.0.0.1", **options: object) -> Sipp:
            remote = f"[{local}]:{server.port}" if ":" in local else f"{local}:{server.port}"
            run = Sipp(tmp_path, scenario, remote, local=local, **options)  # type: ignore[arg-type]
            stack.callback(run.stop)
            return run

        yield start


@pytest.fixture
def baresip(server: Server, tmp_path: Path) -> Iterator[Callable[..., Baresip]]:
    """Starts softphones; none outlives the test."""
    with ExitStack() as stack:

        def start(user: str, **options: object) -> Baresip:
            soft = Baresip(tmp_path / user, user, server.port, **options)  # type: ignore[arg-type]
            stack.callback(soft.stop)
            return soft

        yield start
