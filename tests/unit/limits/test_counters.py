"""The counter columns and their names belong together."""

from __future__ import annotations

import re
from pathlib import Path

from proxy.limits import counters

LISTS = {"COLUMNS", "COUNT", "SL_CLASS_REPLIES", "TM_CLASS_TRANSACTIONS"}


def columns() -> dict[str, int]:
    return {
        name: value
        for name, value in vars(counters).items()
        if name.isupper() and isinstance(value, int) and name not in LISTS
    }


def plain(text: str) -> str:
    return text.replace("-", "_").replace(":", "_").upper()


def test_every_column_is_there_once() -> None:
    assert sorted(columns().values()) == list(range(counters.COUNT))
    assert len(set(counters.NAMES)) == counters.COUNT


def test_each_constant_is_named_like_its_column() -> None:
    for name, column in columns().items():
        group, _, rest = counters.NAMES[column].partition(":")
        assert plain(name) in {plain(rest), plain(f"{group}:{rest}")}


def test_status_classes_find_their_columns() -> None:
    assert counters.NAMES[counters.SL_CLASS_REPLIES + 1] == "sl:1xx_replies"
    assert counters.NAMES[counters.SL_CLASS_REPLIES + 6] == "sl:6xx_replies"
    assert counters.NAMES[counters.TM_CLASS_TRANSACTIONS + 2] == "tm:2xx_transactions"
    assert counters.NAMES[counters.TM_CLASS_TRANSACTIONS + 6] == "tm:6xx_transactions"


def test_every_counter_is_counted_somewhere() -> None:
    """Those of a status class are reached by arithmetic from the first of them."""
    root = Path(__file__).resolve().parents[3]
    sources = [*root.glob("proxy/**/*.py"), *root.glob("workers/**/*.py")]
    text = "\n".join(path.read_text() for path in sources if path.name != "counters.py")
    words = set(re.findall(r"\w+", text))
    by_class = {name for name in columns() if re.match(r"(SL|TM)_\dXX_", name)}
    assert {"SL_CLASS_REPLIES", "TM_CLASS_TRANSACTIONS"} <= words
    assert sorted(columns().keys() - words - by_class) == []
