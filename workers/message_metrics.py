"""Metrics of messages and times: by method, by status code, by how long they took; and by listener.

Counted by the workers in shared memory (`traffic.py`); what the kernel dropped it says itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from proxy.limits import measures
from proxy.shm.slots import ProcessSlots
from workers.load import QUEUES, kernel_name, read_text
from workers.setting_types import Endpoint

SECOND_US: Final = 1_000_000


def messages(slots: ProcessSlots) -> Iterator[Metric]:
    """What came and what left, by its first line."""
    for way, by_method, by_code in (
        ("received", measures.RECEIVED_METHOD, measures.RECEIVED_CODE),
        ("sent", measures.SENT_METHOD, measures.SENT_CODE),
    ):
        requests = CounterMetricFamily(
            f"sipherd_requests_{way}",
            f"Requests {way}, by method, each time they were.",
            labels=["method"],
        )
        for place, method in enumerate(measures.METHODS):
            requests.add_metric([method], slots.total(by_method + place))
        yield requests
        responses = CounterMetricFamily(
            f"sipherd_responses_{way}",
            f"Responses {way}, by status code, each time they were.",
            labels=["code"],
        )
        for place in range(measures.CODES):
            count = slots.total(by_code + place)
            if count:
                responses.add_metric([str(measures.FIRST_CODE + place)], count)
        yield responses


def times(slots: ProcessSlots) -> Iterator[Metric]:
    """How long messages waited to be read, and until what came of them was sent."""
    waited = HistogramMetricFamily(
        "sipherd_queue_delay_seconds",
        "From when the kernel had a message until a worker read it.",
    )
    waited.add_metric([], *_histogram(slots, measures.WAITED))
    yield waited
    taken = HistogramMetricFamily(
        "sipherd_message_seconds",
        "From when the kernel had a message until what was decided about it was sent.",
        labels=["kind"],
    )
    for place, kind in enumerate(measures.CLASSES):
        taken.add_metric([kind], *_histogram(slots, measures.TAKEN + place * measures.HISTOGRAM))
    yield taken


def _histogram(slots: ProcessSlots, at: int) -> tuple[list[tuple[str, float]], float]:
    """Cumulative counts by upper end, and the sum, as the client library wants them."""
    buckets: list[tuple[str, float]] = []
    total = 0
    for step, end in enumerate((*(us / SECOND_US for us in measures.STEPS_US), "+Inf")):
        total += slots.total(at + step)
        buckets.append((str(end), total))
    return buckets, slots.total(at + measures.STEPS) / SECOND_US


def drops(listeners: Iterable[Endpoint]) -> Metric:
    """Datagrams that the kernel had no room for, or dropped because a worker wanted it to."""
    names = {kernel_name(listener): str(listener) for listener in listeners}
    dropped = dict.fromkeys(names.values(), 0)
    for path in QUEUES:
        for name, count in drops_in(read_text(path)):
            if name in names:
                dropped[names[name]] += count
    family = CounterMetricFamily(
        "sipherd_listener_drops",
        "Datagrams the kernel has dropped, by the address they were sent to.",
        labels=["listener"],
    )
    for listener, count in dropped.items():
        family.add_metric([listener], count)
    return family


def drops_in(text: str) -> list[tuple[str, int]]:
    """(local address, drops) of each socket in /proc/net/udp."""
    rows = (line.split() for line in text.splitlines()[1:])
    return [(fields[1], int(fields[-1])) for fields in rows if len(fields) > 12]
