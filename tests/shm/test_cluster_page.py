from __future__ import annotations

import pytest
from shm_family import killed_at

from proxy.errors import ShmError
from proxy.limits.bounds import CLUSTER_TAGS, CLUSTERS
from proxy.shm.cluster_page import ClusterPage

HIGHEST = 2**63 - 1


def test_every_tag_boots_as_backup() -> None:
    page = ClusterPage.create(None, 1, ("vip", "trunks"))
    assert not page.acts(b"vip")
    assert not page.acts(b"trunks")
    assert page.epoch(b"vip") == 0


def test_a_tag_is_active_or_backup_under_its_epoch() -> None:
    page = ClusterPage.create(None, 1, ("vip", "trunks"))
    page.set_tag(b"vip", HIGHEST, active=True)
    assert page.acts(b"vip")
    assert page.epoch(b"vip") == HIGHEST
    assert not page.acts(b"trunks")
    page.set_tag(b"vip", 7, active=False)
    assert not page.acts(b"vip")
    assert page.epoch(b"vip") == 7


def test_without_a_tag_a_node_acts_for_what_it_made() -> None:
    page = ClusterPage.create(None, 2, ("vip",))
    assert page.acts_for(b"", 2)
    assert not page.acts_for(b"", 1)
    assert page.acts_for(b"gone from the configuration", 2)
    assert not page.acts_for(b"vip", 2)
    page.set_tag(b"vip", 1, active=True)
    assert page.acts_for(b"vip", 1)
    assert not page.acts_for(b"", 1)


def test_a_tag_that_nobody_configured() -> None:
    page = ClusterPage.create(None, 1, ("vip",))
    assert not page.acts(b"other")
    with pytest.raises(ShmError, match="other"):
        page.set_tag(b"other", 1, active=True)
    with pytest.raises(ShmError, match="epoch"):
        page.set_tag(b"vip", HIGHEST + 1, active=True)


def test_changes_of_tags_can_be_noticed() -> None:
    page = ClusterPage.create(None, 1, ("vip",))
    before = page.tag_changes()
    page.set_tag(b"vip", 1, active=True)
    assert page.tag_changes() != before


def test_what_is_old() -> None:
    page = ClusterPage.create(None, 3, ("vip",), grace_s=125)
    assert page.horizon() == (3, 125, 0)
    page.set_horizon(2**64 - 1, 2**63, 5)
    assert page.horizon() == (3, 5, 2**64 - 1)
    assert page.settled() == 2**63


def test_who_is_active_for_a_tag_owns_everything_and_who_is_not_nothing() -> None:
    page = ClusterPage.create(None, 3, ("vip",), grace_s=5)
    page.set_horizon(9, 9, 5)
    assert page.horizon(b"vip") == (0, 5, 9)
    page.set_tag(b"vip", 1, active=True)
    assert page.horizon(b"vip") == (3, 0, 9)
    assert page.horizon(b"not configured") == (3, 5, 9)
    assert page.has_tag(b"vip")
    assert not page.has_tag(b"not configured")


def test_each_cluster_is_synced_by_itself() -> None:
    page = ClusterPage.create(None, 1, clusters=(1, 65_535))
    page.set_synced(65_535, True)
    assert page.is_synced(65_535)
    assert not page.is_synced(1)
    assert not page.is_synced(9)
    page.set_synced(65_535, False)
    assert not page.is_synced(65_535)
    with pytest.raises(ShmError, match="no cluster 9"):
        page.set_synced(9, True)


def test_the_start_of_a_clusterer() -> None:
    page = ClusterPage.create(None, 1)
    assert page.incarnation() == 0
    page.set_incarnation(1_800_000_000_000)
    assert page.incarnation() == 1_800_000_000_000


def test_there_is_room_for_so_many_and_no_more() -> None:
    tags = [f"tag{number}" for number in range(CLUSTER_TAGS)]
    clusters = range(1, CLUSTERS + 1)
    page = ClusterPage.create(None, 1, tags, clusters)
    for number, tag in enumerate(tags):
        page.set_tag(tag.encode(), number + 1, active=number % 2 == 0)
    for number in clusters:
        page.set_synced(number, number % 2 == 0)
    assert [page.epoch(tag.encode()) for tag in tags] == list(range(1, CLUSTER_TAGS + 1))
    assert [page.acts(tag.encode()) for tag in tags] == [True, False] * (CLUSTER_TAGS // 2)
    assert [page.is_synced(number) for number in clusters] == [False, True] * (CLUSTERS // 2)
    with pytest.raises(ShmError, match="at most"):
        ClusterPage.create(None, 1, [*tags, "more"])
    with pytest.raises(ShmError, match="at most"):
        ClusterPage.create(None, 1, (), range(CLUSTERS + 1))


def test_a_death_at_any_store_leaves_the_old_word_or_the_new() -> None:
    page = ClusterPage.create(None, 1, ("vip",))
    page.set_tag(b"vip", 5, active=True)
    store, survived = 0, False
    while not survived:
        store += 1
        page.set_tag(b"vip", 5, active=True)
        survived = not killed_at(store, page.set_tag, b"vip", 6, False)
        assert (page.epoch(b"vip"), page.acts(b"vip")) in {(5, True), (6, False)}
    assert store > 1
    assert (page.epoch(b"vip"), page.acts(b"vip")) == (6, False)
