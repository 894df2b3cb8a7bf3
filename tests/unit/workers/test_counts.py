"""Nodes that tell each other counts: sums over real tables, however nodes come, go and die."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import cast

import pytest

from proxy.cluster.counts import PIPE, PROFILE
from proxy.dialog.decoded import DialogRecord, Leg, encode
from proxy.dialog.states import State
from proxy.limits import counters as ids
from proxy.limits.algorithms import RED, SBT, TAILDROP
from proxy.shm.cluster_page import ClusterPage
from proxy.shm.dialog_table import DialogTable
from proxy.shm.pipe_layout import Timing
from proxy.shm.pipes import ADMITTED, Pipes
from proxy.shm.profile_table import ProfileTable
from proxy.shm.slots import ProcessSlots
from tests.unit.cluster.trio import WALL, Trio
from workers.child import Child
from workers.clusterer.counts import ClusterCounts
from workers.settings import Config

TURN_MS = 200
KEY = b"trunk\0carrier"


class Site:
    """A node with its tables, which outlive its clusterer."""

    def __init__(self, number: int, sites: Sites, contents: list[str], pair: list[int]) -> None:
        self.number, self.sites = number, sites
        self.pipes = Pipes.create(None, 2_000, Timing(), seed=number)
        self.profiles = ProfileTable.create(None, 1_000, 4_000, seed=number)
        with TemporaryDirectory() as folder:
            self.dialogs = DialogTable.create(f"{folder}/dialogs", 1_000, seed=number)
        self.page = ClusterPage.create(None, number, ("vip", "other"))
        self.slots = ProcessSlots.create(None, 4, ids.COUNT)
        cluster: dict[str, object] = {
            "bind": f"tcp://127.0.0.{number}:6400",
            "tags": {"vip": "backup", "other": "backup"},
        }
        here = {"id": 1, "contents": contents}
        if pair:
            cluster |= {"id": 9, "contents": ["dialogs"], "further": [here]}
        else:
            cluster |= here
        self.pair = pair
        dialog = {"enabled": True, "profiles": ["trunk"], "sharing_tag": sites.sharing_tag}
        self.config = Config.model_validate(
            {"node": {"id": number}, "cluster": cluster, "dialog": dialog}
        )
        self.start()

    def start(self) -> None:
        """A clusterer starts."""
        tables = SimpleNamespace(
            pipes=self.pipes,
            profiles=self.profiles,
            dialogs=self.dialogs,
            cluster=self.page,
            slots=self.slots,
        )
        child = SimpleNamespace(tables=tables, config=self.config, slot=1)
        brains = {1: self.sites.trio.brains[self.number]}
        if self.pair:  # all that matters of it is who is in it
            brains[9] = cast(
                "object",
                SimpleNamespace(  # type: ignore[assignment]
                    links=dict.fromkeys(self.pair), counts=self.sites.silent
                ),
            )
        self.counts = ClusterCounts(cast(Child, child), brains)

    def call(self, number: int, tag: bytes = b"vip", key: bytes = KEY) -> bytes:
        """A call that is known here and in a profile; its id."""
        record = DialogRecord(
            key=b"call%d\0a" % number,
            node=1,
            epoch=1,
            counter=number,
            state=State.CONFIRMED,
            owner=1,
            sharing_tag=tag,
            callees=[Leg(state=State.CONFIRMED)],
        )
        payload = encode(record)
        self.dialogs.commit(record.key, 0, payload, 2**31, 0)
        did = payload[16:32]
        now_s = (WALL + self.sites.trio.now) // 1000
        assert self.profiles.join(key, did, self.dialogs.hash_of(record.key), 0, now_s)
        return did

    def hang_up(self, did: bytes, key: bytes = KEY) -> None:
        assert self.profiles.leave(key, did, (WALL + self.sites.trio.now) // 1000)

    def size(self, key: bytes = KEY) -> int:
        return self.profiles.size(key, (WALL + self.sites.trio.now) // 1000)

    def passing(self, algorithm: int, limit: int, offered: int, name: bytes = b"p") -> int:
        now = self.sites.trio.now
        return sum(
            self.pipes.check(name, limit, algorithm, now) == ADMITTED for _ in range(offered)
        )


class Sites:
    """Some nodes of one cluster; `pairs` have another one for their calls besides."""

    def __init__(
        self,
        nodes: int = 2,
        contents: tuple[str, ...] = ("profiles", "limits"),
        pairs: tuple[tuple[int, int], ...] = (),
        sharing_tag: str = "vip",
    ) -> None:
        self.trio = Trio(nodes)
        self.sharing_tag = sharing_tag
        self.silent = SimpleNamespace(take_news=lambda limit, now: [], expire_ms=10_000)
        pair_of = {each: [one for one in pair if one != each] for pair in pairs for each in pair}
        self.nodes = [
            Site(number, self, list(contents), pair_of.get(number, []))
            for number in self.trio.numbers
        ]
        self.dead: set[int] = set()
        self.run(3_000)

    def run(self, ms: int) -> None:
        for _ in range(ms // TURN_MS):
            for site in self.nodes:
                if site.number not in self.dead:
                    site.counts.tell(self.trio.now)
            self.trio.run(TURN_MS)
            self.hear()

    def hear(self) -> None:
        for site in self.nodes:
            while site.number not in self.dead and site.counts.hear(
                self.trio.now, WALL + self.trio.now
            ):
                pass

    def kill(self, number: int) -> None:
        """Its clusterer is gone, and so, for the others, is the node."""
        self.dead.add(number)
        del self.trio.brains[number]

    def restart(self, number: int) -> None:
        self.dead.discard(number)
        self.trio.boot(number)
        self.nodes[number - 1].start()

    def sizes(self, key: bytes = KEY) -> list[int]:
        return [site.size(key) for site in self.nodes]


# -- profiles -------------------------------------------------------------------------------------


def test_the_size_of_a_profile_is_the_sum_over_the_nodes() -> None:
    sites = Sites(3)
    one, two, three = sites.nodes
    calls = [one.call(number) for number in range(5)]
    two.call(11)
    sites.run(1_000)
    assert sites.sizes() == [6, 6, 6]
    one.hang_up(calls[0])
    one.hang_up(calls[1])
    three.call(21)
    sites.run(1_000)
    assert sites.sizes() == [5, 5, 5]


def test_a_cap_holds_for_both_sites_but_for_what_is_on_its_way() -> None:
    sites = Sites()
    one, two = sites.nodes
    now_s = WALL // 1000
    limit = 10
    admitted = 0
    for step in range(40):  # one call at each site every 50 ms
        for site in (one, two):
            did = bytes((site.number, step)) + bytes(14)
            admitted += site.profiles.join(KEY, did, 1, limit, now_s)
        sites.trio.run(50)
        sites.hear()
        if step % 4 == 3:
            for site in (one, two):
                site.counts.tell(sites.trio.now)
    # between two tellings, 200 ms, each lets in four that the other does not know of
    assert limit < admitted <= limit + 4
    assert not one.profiles.join(KEY, bytes(16), 1, limit, now_s)


def test_a_dead_peers_counts_run_out() -> None:
    sites = Sites()
    one, two = sites.nodes
    one.call(1)
    two.call(11)
    two.call(12)
    sites.run(1_000)
    assert sites.sizes() == [3, 3]
    sites.kill(2)
    sites.run(4_000)
    assert one.size() == 3, "its calls may go on: only the link has gone"
    sites.run(8_000)
    assert one.size() == 1


def test_a_restarted_peer_begins_anew_and_nothing_drifts() -> None:
    sites = Sites()
    one, two = sites.nodes
    calls = [two.call(number) for number in range(8)]
    for _ in range(3):
        sites.run(1_000)
        assert one.size() == 8
        sites.kill(2)
        two.hang_up(calls.pop())
        calls.append(two.call(100 + len(calls)))
        sites.run(600)
        sites.restart(2)
        sites.run(4_000)
        assert sites.sizes() == [8, 8]
    for did in calls:
        two.hang_up(did)
    sites.run(1_000)
    assert sites.sizes() == [0, 0]
    assert not one.profiles.has(KEY)


def test_a_restarted_clusterer_hears_again_what_its_peers_have() -> None:
    sites = Sites()
    one, two = sites.nodes
    two.call(1)
    sites.run(1_000)
    sites.kill(1)
    two.call(2)
    sites.run(400)
    sites.restart(1)
    sites.run(2_000)  # sooner than everything is told again anyway
    assert one.size() == 2


def test_counts_that_do_not_change_stay() -> None:
    sites = Sites()
    one, two = sites.nodes
    one.call(1)
    sites.run(60_000)
    assert two.size() == 1


def test_a_value_that_moves_to_another_place_of_the_table_keeps_its_count() -> None:
    sites = Sites()
    one, _two = sites.nodes
    did = one.call(1)
    sites.run(1_000)
    one.hang_up(did)
    one.call(2, key=b"trunk\0another")
    one.call(3)
    sites.run(1_000)
    assert sites.sizes() == [1, 1]
    assert sites.sizes(b"trunk\0another") == [1, 1]


def test_what_is_no_profile_here_is_not_kept() -> None:
    sites = Sites()
    one, two = sites.nodes
    one.call(1, key=b"undeclared\0x")
    sites.run(1_000)
    assert not two.profiles.has(b"undeclared\0x")


def test_others_counts_leave_room_for_our_own() -> None:
    sites = Sites()
    _one, two = sites.nodes
    brain = sites.trio.brains[1]
    for number in range(3_000):
        brain.counts.put(PROFILE, b"trunk\0%d" % number, 1)
    sites.run(4_000)
    values = two.profiles.counts(b"trunk", WALL // 1000)
    assert 0.65 * two.profiles.groups < len(values) <= 1 + 0.7 * two.profiles.groups
    assert two.slots.total(ids.CLUSTER_COUNTS_REFUSED) > 0
    two.call(1)
    assert two.size() == 1


# -- a pair of nodes at each site -----------------------------------------------------------------


@pytest.fixture
def pair_and_site() -> Sites:
    """Nodes 1 and 2 have each other's calls, node 3 is somewhere else."""
    return Sites(3, ("profiles",), pairs=((1, 2),))


def test_of_a_pair_the_active_node_tells_its_calls_and_only_once(pair_and_site: Sites) -> None:
    sites = pair_and_site
    one, two, three = sites.nodes
    for number in range(4):
        one.call(number)
        two.call(number)  # replicated
    three.call(10)
    for site in (one, two):
        site.page.set_tag(b"other", 1, active=site is one)
        site.page.set_tag(b"vip", 1, active=site is one)
    sites.run(1_000)
    assert sites.sizes() == [5, 5, 5]


def test_when_the_tags_move_the_count_goes_with_them(pair_and_site: Sites) -> None:
    sites = pair_and_site
    one, two, three = sites.nodes
    for number in range(4):
        one.call(number)
        two.call(number)
    for active in (one, two, one):
        for site in (one, two):
            site.page.set_tag(b"vip", 1, active=site is active)
            site.page.set_tag(b"other", 1, active=site is active)
        sites.run(1_000)
        assert three.size() == 4
        assert sites.trio.brains[active.number].counts.own == {(PROFILE, KEY): 4}


def test_with_a_tag_on_each_node_both_tell_their_own(pair_and_site: Sites) -> None:
    sites = pair_and_site
    one, two, _three = sites.nodes
    for number in range(6):
        for site in (one, two):
            site.call(number, b"vip" if number < 4 else b"other")
    one.page.set_tag(b"vip", 1, active=True)
    two.page.set_tag(b"other", 1, active=True)
    sites.run(2_000)
    assert sites.trio.brains[1].counts.own == {(PROFILE, KEY): 4}
    assert sites.trio.brains[2].counts.own == {(PROFILE, KEY): 2}
    assert sites.sizes() == [6, 6, 6]
    two.page.set_tag(b"other", 2, active=False)
    one.page.set_tag(b"other", 2, active=True)
    sites.run(2_000)
    assert sites.trio.brains[1].counts.own == {(PROFILE, KEY): 6}
    assert sites.sizes() == [6, 6, 6]


def test_without_tags_each_tells_what_it_had_last() -> None:
    sites = Sites(3, ("profiles",), pairs=((1, 2),), sharing_tag="")
    one, two, three = sites.nodes
    for number in range(3):
        one.call(number, b"")  # node 1 owns all that call() makes
        two.call(number, b"")
    sites.run(2_000)
    assert three.size() == 3
    assert sites.trio.brains[2].counts.own == {}


# -- pipes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [SBT, TAILDROP])
def test_a_rate_holds_for_all_nodes_together(algorithm: int) -> None:
    sites = Sites()
    one, two = sites.nodes
    for site in (one, two):
        site.pipes.make(b"p", 100, algorithm, sites.trio.now)
    limit = 100 if algorithm == SBT else 10  # of ten seconds
    passed = one.passing(algorithm, limit, 60)
    sites.run(600)
    passed += two.passing(algorithm, limit, 200)
    assert 95 <= passed <= 105
    sites.run(600)
    assert one.passing(algorithm, limit, 100) <= 5


def test_nodes_at_once_let_pass_the_limit_and_what_is_on_its_way() -> None:
    sites = Sites()
    window_ms, limit, step_ms = 10_000, 500, 20
    moments: list[int] = []
    for step in range(40_000 // step_ms):
        for site in sites.nodes:
            moments += [sites.trio.now] * site.passing(SBT, limit, 2)  # each four times its share
        sites.trio.run(step_ms)
        sites.hear()
        if step % (TURN_MS // step_ms) == 0:
            for site in sites.nodes:
                site.counts.tell(sites.trio.now)
    worst = 0
    for start in range(0, 30_000, 500):
        first = moments[0] + start
        worst = max(worst, sum(first <= at < first + window_ms - 200 for at in moments))
    unknown = 2 * ((TURN_MS + step_ms) // step_ms) * 2  # what each lets pass before it hears
    assert limit <= worst <= limit + unknown


def test_a_pipe_that_is_new_here_knows_within_a_turn_what_others_let_pass() -> None:
    sites = Sites()
    one, two = sites.nodes
    assert one.passing(SBT, 10, 8) == 8
    sites.run(3_000)
    assert two.pipes.count == 0
    assert two.passing(SBT, 10, 1) == 1
    sites.run(200)
    assert two.passing(SBT, 10, 10) == 1


def test_a_restarted_peers_pipes_do_not_count_twice() -> None:
    sites = Sites()
    one, two = sites.nodes
    one.passing(SBT, 100, 40)
    two.passing(SBT, 100, 20)
    sites.run(1_000)
    sites.kill(2)
    sites.run(400)
    sites.restart(2)
    sites.run(4_000)
    assert one.passing(SBT, 100, 100) == 40


def test_pipes_that_have_become_quiet_are_told_as_quiet() -> None:
    sites = Sites()
    one, two = sites.nodes
    for name in (b"p", b"q"):
        one.passing(RED, 10, 5, name)
        two.passing(RED, 10, 1, name)
    sites.run(1_000)
    assert sites.trio.brains[2].counts.of(1, PIPE, b"p", sites.trio.now) == 5
    sites.run(40_000)
    assert sites.trio.brains[2].counts.of(1, PIPE, b"p", sites.trio.now) == 0
    assert sites.trio.brains[1].counts.own == {}


def test_what_an_operator_took_out_is_told_again_when_it_is_back() -> None:
    sites = Sites()
    one, two = sites.nodes
    one.call(1)
    sites.run(1_000)
    counts = sites.trio.brains[1].counts
    counts.set_enabled(PROFILE, False)
    sites.run(1_000)
    assert two.size() == 0
    counts.set_enabled(PROFILE, True)
    sites.run(1_000)
    assert two.size() == 1
