"""Versions of the program in folders of their own, and a link that says which is installed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from loadtests.servers import ROOT


class Programs:
    """What `current` points to is what a server that is started, or upgraded, runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current = folder / "current"

    def install(self, version: str, **edits: tuple[str, str]) -> Path:
        """A version; `edits` say for modules of workers/ which text becomes which."""
        root = self.folder / version
        root.mkdir()
        for name in ("proxy", "conf"):
            (root / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / "workers", root / "workers", ignore=_sources_of_c)
        for module, (old, new) in edits.items():
            path = root / "workers" / f"{module}.py"
            text = path.read_text()
            assert old in text
            path.write_text(text.replace(old, new))
        about = root / f"sipherd-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: sipherd\nVersion: {version}\n"
        )
        self.choose(version)
        return root

    def choose(self, version: str) -> None:
        """Let `current` point to a version, from one moment to the next."""
        link = self.folder / "link"
        link.symlink_to(version)
        os.replace(link, self.current)


def _sources_of_c(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name.endswith(".c") or name == "__pycache__"}
