"""RFC 3261 §16.7 step 6, as a table."""

import pytest

from proxy.routing.best_response import best


@pytest.mark.parametrize(
    ("statuses", "chosen"),
    [
        ([486], 486),
        ([486, 404], 404),
        ([603, 404], 603),
        ([404, 200], 200),
        ([503, 486], 486),
        ([503, 500], 500),
        ([302, 404], 302),
        ([404, 401], 401),
        ([407, 401], 401),
        ([420, 404, 484], 420),
        ([408, 480], 480),
        ([408, 503], 408),
        ([408, 500], 408),
        ([500, 604, 603], 603),
    ],
)
def test_best(statuses: list[int], chosen: int) -> None:
    assert statuses[best(statuses)] == chosen
