"""Atheris on one target: `python -m tests.fuzz.run parse -max_total_time=60`.

Runs the Python sources, so that atheris sees their branches and an over-read is an IndexError;
`twin` compares them with the compiled modules. Atheris is optional: pip install atheris.
"""

from __future__ import annotations

import inspect
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import atheris

from tests.conftest import PureSources
from tests.pure_twin import load_pure


def _instrument(modules: Iterable[ModuleType]) -> None:
    for module in modules:
        for value in vars(module).values():
            members = vars(value).values() if inspect.isclass(value) else [value]
            for member in members:
                function = member.fget if isinstance(member, property) else member
                if inspect.isfunction(function) and function.__module__ == module.__name__:
                    atheris.instrument_func(function)


def main(name: str, arguments: list[str]) -> None:
    if name == "twin":
        from proxy.sip import address
        from tests.fuzz import targets

        pure = load_pure("proxy.sip", [*targets.COMPILED, "address", "grammar", "values"])
        _instrument(pure.values())
        both = {**targets.COMPILED, "address": address}

        def target(data: bytes) -> None:
            assert targets.reading(both, data) == targets.reading(pure, data)
    else:
        sys.meta_path.insert(0, PureSources())
        from tests.fuzz import cluster_targets, targets

        packages = ("proxy.sip.", "proxy.cluster.", "proxy.registrar.replica", "proxy.dialog.")
        _instrument([module for key, module in sys.modules.items() if key.startswith(packages)])
        target = {**targets.TARGETS, **cluster_targets.TARGETS}[name]
    from tests.fuzz import frames
    from tests.fuzz.corpus import PIECES, SEEDS

    with tempfile.TemporaryDirectory() as folder:
        seeds, words = Path(folder, "seeds"), Path(folder, "words")
        seeds.mkdir()
        for number, data in enumerate([*SEEDS, *frames.SEEDS, frames.location(), frames.dialog()]):
            Path(seeds, f"{number:03}").write_bytes(data)
        words.write_text(
            "".join('"' + "".join(f"\\x{byte:02x}" for byte in piece) + '"\n' for piece in PIECES)
        )
        options = [sys.argv[0], f"-dict={words}", "-max_len=4096", *arguments, str(seeds)]
        atheris.Setup(options, target)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
