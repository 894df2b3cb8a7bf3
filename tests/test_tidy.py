"""Style in numbers, kept by a test and not by review (docs/style.md).

The ratchets list what was too long when the rule came. An entry may only shrink; one that is no
longer needed has to go. Nothing is ever added.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINES_OF_A_FUNCTION = 60
LINES_OF_A_MODULE = 450
COLUMNS = 100

LONG_FUNCTIONS = {"tests/e2e/sipp_runner.py::Sipp.__init__": 70}
LONG_MODULES = {"tests/unit/registrar/test_save.py": 571}
LONG_LINES = {  # what ruff does not read
    "proxy/cluster/hlc.pxd": 1,
    "proxy/registrar/binding.pxd": 1,
    "proxy/registrar/record.pxd": 1,
    "proxy/shm/arena.pxd": 1,
    "proxy/shm/arena.pyx": 3,
    "proxy/shm/slabs.pxd": 2,
    "proxy/transaction/layer.pxd": 3,
}

NOT_OURS = {".git", ".venv", "build", "var", "__pycache__"}
TEXT = {".c", ".cfg", ".md", ".pxd", ".py", ".pyi", ".pyx", ".toml", ".txt", ".xml", ".yaml"}
SCRIPTS = ("run", "test", ".ci/prepare", ".ci/run")
BANNED_NAMES = re.compile(
    r"(^|_)(common|data\d+|helpers?|managers?|mgr|misc|stuff|te?mp|utils?\d*)(_|$)"
)
LEFTOVERS = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")

# Where a process may sleep, and why. Everything else has a deadline in its loop.
SLEEPERS = {
    "workers/storage/database.py::Database.transaction": (
        "in the storage process: milliseconds before a transaction that lost is tried again"
    ),
    "workers/tables.py::lock_folder": (
        "before the first fork, up to two seconds: the processes of a killed supervisor end first"
    ),
}


def files() -> Iterator[Path]:
    """Every text file of the project."""
    for path in sorted(ROOT.rglob("*")):
        inside = path.relative_to(ROOT).parts
        if NOT_OURS.intersection(inside) or any(part.endswith(".egg-info") for part in inside):
            continue
        if any(part.startswith(".") and part != ".ci" for part in inside):
            continue
        if path.is_file() and (path.suffix in TEXT or str(path.relative_to(ROOT)) in SCRIPTS):
            yield path


def named(path: Path) -> str:
    """How the ratchets name a file."""
    return path.relative_to(ROOT).as_posix()


def is_generated(path: Path) -> bool:
    """Whether Cython wrote it."""
    return path.suffix == ".c" and (path.with_suffix(".py").exists() or pyx_of(path).exists())


def pyx_of(path: Path) -> Path:
    """The .pyx a .c may come from."""
    return path.with_suffix(".pyx")


FILES = [path for path in files() if not is_generated(path)]
PYTHON = [path for path in FILES if path.suffix == ".py"]
SOURCES = [path for path in FILES if path.suffix in {".py", ".pyi", ".pyx", ".pxd"}]


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function of a module by its qualified name."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{prefix}{child.name}"
                if not isinstance(child, ast.ClassDef):
                    yield name, child  # type: ignore[misc]
                yield from walk(child, f"{name}.")
            else:
                yield from walk(child, prefix)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), "")


def check_ratchet(what: str, found: dict[str, int], allowed: dict[str, int]) -> None:
    """Fail for what has grown or is new, and for entries that are no longer needed."""
    worse = {name: size for name, size in found.items() if size > allowed.get(name, 0)}
    assert not worse, f"{what}: {worse}; make them smaller, do not add them to the ratchet"
    stale = sorted(set(allowed) - set(found))
    assert not stale, f"{what}: {stale} need no entry any more"


def test_functions_are_short() -> None:
    found = {}
    for path in PYTHON:
        for name, node in functions(path):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > LINES_OF_A_FUNCTION:
                found[f"{named(path)}::{name}"] = lines
    check_ratchet(f"functions over {LINES_OF_A_FUNCTION} lines", found, LONG_FUNCTIONS)


def test_modules_are_short() -> None:
    lines = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    found = {name: count for name, count in lines.items() if count > LINES_OF_A_MODULE}
    check_ratchet(f"modules over {LINES_OF_A_MODULE} lines", found, LONG_MODULES)


def test_lines_are_short() -> None:
    found = {}
    for path in SOURCES:
        if path.suffix == ".py":
            continue  # ruff sees to those
        text = path.read_text(encoding="utf-8")
        if long := sum(len(line) > COLUMNS for line in text.splitlines()):
            found[named(path)] = long
    check_ratchet(f"lines over {COLUMNS} columns", found, LONG_LINES)


@pytest.mark.parametrize("path", FILES, ids=named)
def test_text_is_clean(path: Path) -> None:
    text = path.read_bytes().decode("utf-8")
    assert "\r" not in text or path.suffix == ".txt", "line ends of another system"
    assert "\t" not in text or path.suffix in {".c", ".txt", ".cfg"}, "a tab"
    assert not text or text.endswith("\n"), "no line end at the end"
    left = [n for n, line in enumerate(text.splitlines(), 1) if LEFTOVERS.search(line)]
    assert not left, f"work left over in lines {left}: do it, or open an issue"


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_file_name_says_what_is_in_it(path: Path) -> None:
    assert not BANNED_NAMES.search(path.stem), f"{named(path)}: say what it holds"
    for folder in path.relative_to(ROOT).parts[:-1]:
        assert not BANNED_NAMES.search(folder), f"{folder}: say what it holds"


def test_nothing_sleeps() -> None:
    sleeping = set()
    for path in PYTHON:
        if named(path).partition("/")[0] not in {"proxy", "workers"}:
            continue
        for name, function in functions(path):
            if any(is_sleep(node) for node in ast.walk(function)):
                sleeping.add(f"{named(path)}::{name}")
    for path in ROOT.glob("workers/*.pyx"):
        assert not re.search(r"\b(?:u|nano)?sleep\s*\(", path.read_text()), path
    assert sleeping == set(SLEEPERS)


def is_sleep(node: ast.AST) -> bool:
    """Whether a syntax node is a call of a blocking sleep, or brings one in by name."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "time" and any(alias.name == "sleep" for alias in node.names)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    owner = node.func.value
    return node.func.attr == "sleep" and isinstance(owner, ast.Name) and owner.id == "time"


# -- documents ------------------------------------------------------------------------------------

DOCUMENTS = [path for path in FILES if path.suffix == ".md"]
LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
MENTION = re.compile(r"`((?:proxy|workers|tests|docs|conf|loadtests)/[\w./-]*\w)`")


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as code hosts make them."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(text)
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        leads_to = (path.parent / target).resolve() if target else path
        assert leads_to.exists(), f"{named(path)}: {link} leads nowhere"
        if anchor:
            assert anchor in anchors(leads_to), f"{named(path)}: no heading for {link}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_files_that_documents_name_exist(path: Path) -> None:
    if path.name == "CHANGELOG.md":
        return  # history may name what is gone
    for name in MENTION.findall(path.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{named(path)} names {name}"


def test_the_diagrams_are_those_of_the_tables() -> None:
    script = ROOT / "docs" / "make_diagrams.py"
    spec = importlib.util.spec_from_file_location("make_diagrams", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = ROOT / "docs" / "transactions.md"
    assert page.read_text() == module.page(), "run python docs/make_diagrams.py"
    assert module.DIALOGS.read_text() == module.dialog_page(), "run python docs/make_diagrams.py"
