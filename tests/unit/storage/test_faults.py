"""What numbers of MySQL's errors mean."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DBAPIError

from workers.storage.faults import Fault, fault_of


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (2006, Fault.AWAY),
        (1213, Fault.AGAIN),
        (1180, Fault.AGAIN),
        (1317, Fault.AGAIN),
        (1047, Fault.AWAY),
        (1064, Fault.STATEMENT),
        (1267, Fault.LETTERS),
    ],
)
def test_numbers(code: int, fault: Fault) -> None:
    assert fault_of(DBAPIError("", {}, Exception(code, "words"))) is fault
