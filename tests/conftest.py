"""Suite-wide options and fixtures."""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A loaded machine is slow, not wrong.
settings.register_profile(
    "sipherd", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("sipherd")

ROOT = Path(__file__).resolve().parent.parent


class PureSources(importlib.abc.MetaPathFinder):
    """Finds our modules as Python sources even where a compiled twin lies beside them."""

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        source = ROOT.joinpath(*fullname.split(".")).with_suffix(".py")
        if not fullname.startswith(("proxy.", "workers.")) or not source.exists():
            return None
        return importlib.util.spec_from_file_location(fullname, source)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pure", action="store_true", help="run the Python sources, not the compiled modules"
    )
    parser.addoption(
        "--rewrite", action="store_true", help="take over what the text scenarios printed"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--pure"):
        sys.meta_path.insert(0, PureSources())


@pytest.fixture(scope="module", autouse=True)
def _without_litter() -> Iterator[None]:
    """Free what tests leave in cycles, descriptors above all; never look at what stays again."""
    gc.collect()
    gc.freeze()
    yield
    gc.collect()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--pure"):
        return
    for item in items:
        if item.get_closest_marker("compiled"):
            item.add_marker(pytest.mark.skip(reason="tests the compiled modules themselves"))
