"""Imports run one way, and the logic stays apart from the operating system (ARCHITECTURE.md).

Read from the sources, not from what happens to be loaded: imports and cimports, at the top of a
module and inside functions, in .py, .pyi, .pyx and .pxd.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A package imports from itself and from rows above its own, never sideways and never down.
LAYERS = (
    ("proxy.errors", "proxy.constants", "proxy.limits"),
    ("proxy.sip",),
    ("proxy.shm", "proxy.transaction"),
    ("proxy.registrar", "proxy.dialog", "proxy.cluster", "proxy.storage"),
    ("proxy.routing",),
    ("workers",),
)
RANK = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}

# fmt: off
# What must stay outside proxy/: a decision is a function of what it is given.
OPERATING_SYSTEM = {
    "asyncio", "ctypes", "datetime", "fcntl", "importlib", "logging", "mmap", "multiprocessing",
    "MySQLdb", "os", "pathlib", "random", "secrets", "select", "selectors", "shutil", "signal",
    "socket", "sqlite3", "sqlalchemy", "ssl", "subprocess", "tempfile", "threading", "time", "zmq",
}
# What would let a worker wait.
NOT_IN_THE_PACKET_PATH = {
    "asyncio", "multiprocessing", "MySQLdb", "sqlalchemy", "sqlite3", "subprocess", "threading",
    "zmq",
}
# fmt: on
PACKET_PATH = (
    "workers.datagrams",
    "workers.policy",
    "workers.resolver",
    "workers.tallies",
    "workers.turn",
    "workers.udp_worker",
)
NOT_IN_THE_SUPERVISOR = (
    "MySQLdb",
    "proxy.registrar",
    "proxy.routing",
    "proxy.transaction",
    "sqlalchemy",
    "sqlite3",
    "zmq",
)
SUPERVISOR = (
    "workers.child",
    "workers.holdings",
    "workers.logs",
    "workers.signals",
    "workers.sockets",
    "workers.start",
    "workers.supervisor",
)

# (importing module, imported module): why it may all the same.
EXCEPTIONS = {
    ("proxy.registrar.edit", "proxy.cluster.hlc"): (
        "a stored binding has a version (R11), and the clock that gives versions imports nothing "
        "but errors"
    ),
    ("proxy.registrar.save", "proxy.cluster.hlc"): "as proxy.registrar.edit",
    ("proxy.storage.schema", "sqlalchemy"): (
        "tables and statements are data that SQLAlchemy turns into text; what reaches a database, "
        "engines and drivers, is in workers/storage alone"
    ),
    ("proxy.storage.statements", "sqlalchemy"): "as proxy.storage.schema",
    ("proxy.storage.statements", "proxy.dialog.rows"): "where a row of a dialog has its version",
    ("proxy.storage.differences", "proxy.registrar.binding"): "rows are made of bindings",
    ("proxy.storage.differences", "proxy.registrar.tombstones"): "rows are made of bindings",
    ("proxy.storage.location_rows", "proxy.registrar.binding"): "rows are made of bindings",
    ("proxy.storage.location_rows", "proxy.registrar.contact_id"): "rows are made of bindings",
    ("proxy.storage.location_rows", "proxy.registrar.layout"): "rows are made of bindings",
    ("proxy.storage.refreshes", "proxy.registrar.layout"): "and brought up to date from records",
    ("proxy.storage.refreshes", "proxy.registrar.record"): "as proxy.registrar.layout",
    ("proxy.registrar.replica", "proxy.cluster.form"): (
        "what the cluster asks of records, answered without Python in between"
    ),
    ("proxy.dialog.replica", "proxy.cluster.form"): "as proxy.registrar.replica",
    ("proxy.dialog.store", "proxy.cluster.hlc"): "as proxy.registrar.edit: a dialog has a version",
}
# Compiled modules that declare C functions of the system, and what for.
EXTERN = {
    "proxy/shm/arena.pyx": "the one place that maps files and takes process-shared locks (R5, R7)",
    "workers/datagrams.pyx": "recvmmsg and sendmmsg (R5)",
    "proxy/shm/packed.pxd": "a prefetch, one instruction of the machine (R5)",
    "proxy/sip/grammar.pxd": "spans.h beside it: loops over sixteen bytes at once, no system",
    "proxy/transaction/matching.pxd": "where a list of Python has its items, to prefetch one",
    "proxy/routing/policy_run.pxd": "PyIter_Send of Python itself, which ends without an exception",
}

FROM = re.compile(r"^\s*from\s+([\w.]+)\s+c?import\s+(?:\(([^)]*)\)|([^#\n]*))", re.MULTILINE)
PLAIN = re.compile(r"^\s*c?import\s+([\w., ]+)", re.MULTILINE)


def sources() -> list[Path]:
    """Every source of the product, in order."""
    return sorted(
        path
        for package in ("proxy", "workers")
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".pyi", ".pyx", ".pxd"}
    )


def module_name(path: Path) -> str:
    """The dotted name of a source: a package for its __init__."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that a source names in an import or cimport."""
    text = path.read_text(encoding="utf-8")
    if path.suffix in {".py", ".pyi"}:
        yield from python_imports(ast.parse(text), module_name(path))
        return
    for name, in_parentheses, on_the_line in FROM.findall(text):
        yield name
        for each in (in_parentheses or on_the_line).split(","):
            if word := each.split(" as ")[0].strip():
                yield f"{name}.{word}"
    for names in PLAIN.findall(text):
        for each in names.split(","):
            yield each.split(" as ")[0].strip()


def python_imports(tree: ast.Module, importer: str) -> Iterator[str]:
    """The same of a Python syntax tree; "from a import b" names a.b too, which may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{importer}: relative import"
            assert node.module is not None
            yield node.module
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def package_of(module: str) -> str | None:
    """The row entry of LAYERS a module belongs to."""
    return next((p for p in RANK if module == p or module.startswith(p + ".")), None)


def is_excepted(importer: str, imported: str) -> bool:
    """Whether EXCEPTIONS argues for an import, or for the module whose name is imported."""
    return any(
        importer == who and (imported == what or imported.startswith(what + "."))
        for who, what in EXCEPTIONS
    )


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    importer = module_name(path)
    home = package_of(importer)
    if home is None:
        assert importer == "proxy", f"{importer} has no place in LAYERS"
        assert not list(imports(path)), "the package proxy itself is empty"
        return
    for imported in imports(path):
        target = package_of(imported)
        if target is None or target == home or is_excepted(importer, imported):
            continue
        assert RANK[target] < RANK[home], f"{importer} must not import {imported}"


@pytest.mark.parametrize(
    "path",
    [path for path in sources() if path.is_relative_to(ROOT / "proxy")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_logic_knows_no_operating_system(path: Path) -> None:
    for imported in imports(path):
        first = imported.partition(".")[0]
        if not is_excepted(module_name(path), imported):
            assert first not in OPERATING_SYSTEM, f"{module_name(path)} must not import {imported}"
        assert first not in {"tests", "loadtests", "conf", "posix"}, imported


@pytest.mark.parametrize("module", PACKET_PATH)
def test_the_packet_path_cannot_wait(module: str) -> None:
    for imported in imports_of_module(module):
        assert imported.partition(".")[0] not in NOT_IN_THE_PACKET_PATH, imported


@pytest.mark.parametrize("module", SUPERVISOR)
def test_the_supervisor_routes_nothing(module: str) -> None:
    for imported in imports_of_module(module):
        for barred in NOT_IN_THE_SUPERVISOR:
            assert imported != barred, imported
            assert not imported.startswith(barred + "."), imported


def imports_of_module(module: str) -> list[str]:
    """The imports of one module of the product, of whatever kind its source is."""
    found = [path for path in sources() if module_name(path) == module]
    assert found, f"{module} has gone: update this test"
    return [imported for path in found for imported in imports(path)]


def test_c_functions_of_the_system_are_declared_in_few_places() -> None:
    declaring = {
        str(path.relative_to(ROOT))
        for path in sources()
        if path.suffix in {".pyx", ".pxd"}
        and re.search(r"^\s*cdef extern\b|^\s*from posix\b", path.read_text(), re.MULTILINE)
    }
    assert declaring <= set(EXTERN), f"argue for {sorted(declaring - set(EXTERN))} in EXTERN"


def test_directives_of_classes_stand_where_the_compiler_looks() -> None:
    """In a .pxd beside a .py they are read and do nothing: they belong above `@cython.cclass`."""
    idle = re.compile(
        r"^\s*@cython\.(?:freelist|no_gc|no_gc_clear|internal|trashcan)\b", re.MULTILINE
    )
    found = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.suffix == ".pxd" and idle.search(path.read_text(encoding="utf-8"))
    ]
    assert not found


def test_only_two_modules_are_not_python() -> None:
    written = {str(path.relative_to(ROOT)) for path in sources() if path.suffix == ".pyx"}
    assert written == {"proxy/shm/arena.pyx", "workers/datagrams.pyx"}, "R5: one source, in Python"


def test_the_shipped_policy_uses_only_the_policy_api() -> None:
    tree = ast.parse((ROOT / "conf" / "routing.py").read_text())
    assert {name.partition(".")[0] for name in python_imports(tree, "routing")} <= {"proxy"}


def test_every_exception_is_still_needed() -> None:
    by_name = {module_name(path): path for path in sources() if path.suffix == ".py"}
    for importer, imported in EXCEPTIONS:
        assert imported in imports(by_name[importer]), f"{importer} no longer imports {imported}"
    for name in EXTERN:
        assert (ROOT / name).exists(), name


def test_the_rules_catch_what_they_should(tmp_path: Path) -> None:
    """A rule that never fires would look just like a clean tree."""
    sample = tmp_path / "sample.pyx"
    sample.write_text(
        "cimport cython\nfrom proxy.routing.core cimport (\n    ProxyCore,\n)\n    import os, re\n"
    )
    assert list(imports(sample)) == [
        "proxy.routing.core",
        "proxy.routing.core.ProxyCore",
        "cython",
        "os",
        "re",
    ]
    tree = ast.parse("def f():\n    from proxy import routing\n    import socket\n")
    assert list(python_imports(tree, "x")) == ["proxy", "proxy.routing", "socket"]
    assert package_of("proxy.routing") == "proxy.routing"
    assert package_of("proxy.routings") is None
    assert RANK["proxy.sip"] < RANK["proxy.registrar"] < RANK["workers"]
