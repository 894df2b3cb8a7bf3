"""The extension list: every module with a .pxd beside it, and the two that Python cannot say.

An installed package also takes along the default policy and configuration, which lie outside of it.
"""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_py import build_py

HAND_WRITTEN = [Path("proxy/shm/arena.pyx"), Path("workers/datagrams.pyx")]
ANNOTATED = [
    pxd.with_suffix(".py")
    for package in ("proxy", "workers")
    for pxd in sorted(Path(package).rglob("*.pxd"))
    if pxd.stem != "__init__"
]
SOURCES = [path for path in [*HAND_WRITTEN, *ANNOTATED] if path.exists()]
COLD_PATHS = "proxy/cold_paths.h"
SPANS = "proxy/sip/spans.h"
LAYOUT = ["-include", COLD_PATHS]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]

SHIPPED = [
    Path("conf/routing.py"),
    Path("conf/sipherd.toml"),
    *sorted(Path("conf/examples").glob("*.py")),
    *sorted(Path("conf/examples").rglob("*.toml")),
]


class BuildPy(build_py):
    """Builds packages with what `workers/settings.py` looks for in workers/conf."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for source, target in self._shipped():
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target))

    def get_outputs(self, include_bytecode=1):
        return super().get_outputs(include_bytecode) + [str(to) for _, to in self._shipped()]

    def _shipped(self):
        return [(path, Path(self.build_lib, "workers", path)) for path in SHIPPED]


setup(
    cmdclass={"build_py": BuildPy},
    ext_modules=cythonize(
        [
            Extension(
                ".".join(source.with_suffix("").parts),
                [str(source)],
                extra_compile_args=["-O2", "-g1", "-pthread", "-fno-plt", *LAYOUT, *WARNINGS],
                include_dirs=["."],
                depends=[COLD_PATHS, SPANS],
                extra_link_args=["-pthread"],
            )
            for source in SOURCES
        ],
        nthreads=2,
        compiler_directives={"language_level": 3, "annotation_typing": False, "binding": False},
    ),
)
