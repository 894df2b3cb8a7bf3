"""The extension list: every module with a .pxd beside it, and the two that Python cannot say."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

HAND_WRITTEN = [Path("proxy/shm/arena.pyx"), Path("workers/datagrams.pyx")]
ANNOTATED = [
    pxd.with_suffix(".py") for pxd in sorted(Path("proxy").rglob("*.pxd")) if pxd.stem != "__init__"
]
SOURCES = [path for path in [*HAND_WRITTEN, *ANNOTATED] if path.exists()]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]

setup(
    ext_modules=cythonize(
        [
            Extension(
                ".".join(source.with_suffix("").parts),
                [str(source)],
                extra_compile_args=["-O2", "-g1", "-pthread", "-fno-plt", *WARNINGS],
                extra_link_args=["-pthread"],
            )
            for source in SOURCES
        ],
        nthreads=2,
        compiler_directives={"language_level": 3, "annotation_typing": False, "binding": False},
    )
)
