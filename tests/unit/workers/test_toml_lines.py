"""Lines of keys in TOML texts."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.toml_lines import find_lines, line_of

TEXT = '''\
top = 1
[a]
x = 1
"quoted key" = 2
y.z = [
  "[b]",      # [c]
  "k = 1",
]
long = """
[d]
m = 3
"""
[[list]]
n = 1
[b.c] # comment
o = { p = 1, r = "{[" }
q = 2
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 1),
        (("a",), 2),
        (("a", "x"), 3),
        (("a", "quoted key"), 4),
        (("a", "y", "z"), 5),
        (("a", "long"), 9),
        (("list",), 13),
        (("list", "n"), 14),
        (("b", "c"), 15),
        (("b", "c", "o"), 16),
        (("b", "c", "q"), 17),
    ],
)
def test_finds_the_line(path: tuple[str, ...], line: int) -> None:
    assert line_of(find_lines(TEXT), path) == line


@pytest.mark.parametrize("path", [("d",), ("a", "m"), ("c",)])
def test_is_not_fooled_by_text_in_values(path: tuple[str, ...]) -> None:
    assert path not in find_lines(TEXT)


def test_falls_back_to_what_is_around() -> None:
    assert line_of(find_lines(TEXT), ("a", "x", "0")) == 3
    assert line_of(find_lines(TEXT), ("a", "missing")) == 2
    assert line_of(find_lines(TEXT), ("nowhere", "x")) is None


@given(st.text())
def test_takes_any_text(text: str) -> None:
    lines = find_lines(text)
    assert all(1 <= number <= len(text.splitlines()) for number in lines.values())


def test_the_sample_is_toml() -> None:
    assert tomllib.loads(TEXT)["b"]["c"]["q"] == 2
