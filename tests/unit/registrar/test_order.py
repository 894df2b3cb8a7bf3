"""Random REGISTERs against a model that says RFC 3261 §10.3 in a dozen lines."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from proxy.registrar.lookup import lookup
from proxy.shm.attach import create
from tests.unit.registrar.conftest import AOR, NOW, OvertakenTable, Registrar

CSEQ_DELAY = 20


class Bound(NamedTuple):
    call_id: int
    cseq: int
    expires: int
    modified: int


class Step(NamedTuple):
    call_id: int
    cseq: int
    contacts: dict[int, int] | None  # contact -> seconds; None = the star
    later: int


class Model:
    """The bindings of one AoR, contact number -> Bound."""

    def __init__(self) -> None:
        self.bound: dict[int, Bound] = {}

    def register(self, step: Step, now: int) -> bool:
        live = {key: bound for key, bound in self.bound.items() if bound.expires > now}
        touched = live if step.contacts is None else step.contacts
        older = [live[key] for key in touched if key in live]
        older = [bound for bound in older if bound.call_id == step.call_id]
        if any(step.cseq < bound.cseq for bound in older):
            return False
        if any(step.cseq == bound.cseq for bound in older):
            return step.contacts is not None and all(
                seconds > 0
                and key in live
                and (live[key].call_id, live[key].cseq) == (step.call_id, step.cseq)
                and now - live[key].modified <= CSEQ_DELAY
                if seconds > 0 or key in live
                else True
                for key, seconds in step.contacts.items()
            )
        if step.contacts is None:
            live = {}
        for key, seconds in (step.contacts or {}).items():
            live.pop(key, None) if seconds == 0 else live.update(
                {key: Bound(step.call_id, step.cseq, now + seconds, now)}
            )
        self.bound = live
        return True


STEPS = st.builds(
    Step,
    st.integers(0, 1),
    st.integers(1, 6),
    st.one_of(
        st.none(),
        st.dictionaries(st.integers(0, 3), st.sampled_from([0, 60, 3600]), max_size=3),
    ),
    st.sampled_from([0, 0, 1, 15, 30, 90]),
)


def lines(step: Step) -> list[bytes]:
    if step.contacts is None:
        return [b"Contact: *", b"Expires: 0"]
    return [
        b"Contact: <sip:alice@198.51.100.%d>;expires=%d" % item for item in step.contacts.items()
    ]


@given(st.lists(STEPS, max_size=25))
def test_against_the_model(steps: list[Step]) -> None:
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "location.table")
        table = create(OvertakenTable, path, 10, 600, seed=0, boot_id=b"", created_at=0)
        registrar, model, now, version = Registrar(table), Model(), NOW, 0
        for step in steps:
            now += step.later
            before = table.snapshot(AOR)
            accepted = model.register(step, now)
            result = registrar.register(
                *lines(step), cseq=step.cseq, call_id=b"call-%d" % step.call_id, now=now
            )
            assert result.status == (200 if accepted else 500)
            if not accepted:
                assert table.snapshot(AOR) == before
            found = {
                binding.contact: (binding.call_id, binding.cseq, binding.expires)
                for binding in registrar.bindings()
                if binding.is_live(now)
            }
            assert found == {
                b"sip:alice@198.51.100.%d" % key: (
                    b"call-%d" % bound.call_id,
                    bound.cseq,
                    bound.expires,
                )
                for key, bound in model.bound.items()
                if bound.expires > now
            }
            assert len(lookup(table, AOR, "", now)) == len(found) == result.contacts or not accepted
            if result.changed and registrar.bindings():
                assert max(binding.version for binding in registrar.bindings()) > version or any(
                    seconds == 0 for seconds in (step.contacts or {}).values()
                )
                version = max([version, *(b.version for b in registrar.bindings())])
        table.close()
