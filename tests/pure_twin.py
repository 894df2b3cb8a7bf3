"""The sources of compiled modules, loaded beside them: both can be asked the same question."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from tests.conftest import PureSources


def load_pure(package: str, names: list[str]) -> dict[str, ModuleType]:
    """The modules `package.name` run from their .py, without disturbing the compiled ones."""
    prefix = package + "."
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(prefix)}
    parent = importlib.import_module(package)
    finder = PureSources()
    sys.meta_path.insert(0, finder)
    try:
        return {name: importlib.import_module(prefix + name) for name in names}
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith(prefix)]:
            del sys.modules[name]
        sys.modules.update(kept)
        for name, module in kept.items():
            setattr(parent, name.removeprefix(prefix), module)
