"""Which node acts: the one with the highest epoch, and nobody by itself (R13)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cluster.tags import NODE_MASK, Tags

WALL = 1_700_000_000_000


def tags(node: int = 1) -> Tags:
    return Tags(node, ("vip",), 60_000)


def test_a_tag_boots_as_backup() -> None:
    assert tags().state("vip") == "backup"
    assert not tags().acts("nobody configured it")
    with pytest.raises(KeyError):
        tags().activate("nobody configured it", WALL)


def test_an_activation_has_an_epoch_above_all_seen() -> None:
    one = tags()
    ahead = (WALL + 5_000) << 16 | 2
    assert one.hear("vip", ahead, 2, WALL)
    epoch = one.activate("vip", WALL)
    assert epoch > ahead
    assert epoch & NODE_MASK == 1
    assert one.state("vip") == "active"


def test_the_higher_epoch_wins_and_the_loser_steps_down() -> None:
    one, two = tags(1), tags(2)
    first = one.activate("vip", WALL)
    second = two.activate("vip", WALL)
    assert not two.hear("vip", first, 1, WALL)
    assert one.hear("vip", second, 2, WALL)
    assert (one.acts("vip"), two.acts("vip")) == (False, True)
    assert not one.hear("vip", second, 2, WALL), "known already"


def test_stepping_down_gives_the_tag_to_nobody() -> None:
    one, two = tags(1), tags(2)
    assert one.step_down("vip", WALL) == 0
    one.activate("vip", WALL)
    epoch = one.step_down("vip", WALL)
    assert not one.acts("vip")
    assert two.hear("vip", epoch, 0, WALL)
    assert two.get("vip").holder == 0


def test_what_it_was_before_its_restart_does_not_make_it_act() -> None:
    before = tags(1).activate("vip", WALL)
    again = tags(1)
    assert again.hear("vip", before, 1, WALL)
    assert not again.acts("vip")
    assert again.told()[0][1] > before


@pytest.mark.parametrize(
    ("epoch", "holder"),
    [((WALL + 60_001) << 16 | 2, 2), (2**64 - 1, NODE_MASK), (WALL << 16 | 2, 3)],
)
def test_an_epoch_that_cannot_be_is_refused(epoch: int, holder: int) -> None:
    one = tags()
    assert not one.hear("vip", epoch, holder, WALL)
    assert one.rejected == 1
    assert one.get("vip").epoch == 0


def test_tags_that_are_not_ours_are_nothing_to_us() -> None:
    assert not tags().hear("other", WALL << 16 | 2, 2, WALL)


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["activate", "step"])), max_size=12))
def test_whoever_hears_everything_agrees(moves: list[tuple[int, str]]) -> None:
    nodes = {number: tags(number) for number in (1, 2, 3)}
    for number, move in moves:
        if move == "activate":
            nodes[number].activate("vip", WALL)
        else:
            nodes[number].step_down("vip", WALL)
    for _ in range(3):
        told = [each for node in nodes.values() for each in node.told()]
        for node in nodes.values():
            for name, epoch, holder in reversed(told):
                node.hear(name, epoch, holder, WALL)
    assert len({node.get("vip") for node in nodes.values()}) == 1
    assert sum(node.acts("vip") for node in nodes.values()) <= 1


def test_a_clusterer_that_died_goes_on_under_its_old_epoch() -> None:
    before = Tags(1, ("vip",), 60_000)
    epoch = before.activate("vip", 1_000)
    after = Tags(1, ("vip",), 60_000)
    after.restore("vip", epoch, 1)
    after.restore("nobody's", epoch, 1)
    assert after.acts("vip")
    assert after.get("vip").epoch == epoch
    other = Tags(2, ("vip",), 60_000)
    assert after.hear("vip", other.activate("vip", 1_001), 2, 1_001)
    after.restore("vip", epoch, 1)
    assert not after.acts("vip"), "somebody was activated meanwhile"
