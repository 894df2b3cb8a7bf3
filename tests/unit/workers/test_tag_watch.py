"""Who acts for a tag: commands, addresses and peers decide, and the page says it at once."""

from __future__ import annotations

import ipaddress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.cluster.cluster import Cluster
from proxy.cluster.tags import Tag
from proxy.shm import layout
from proxy.shm.cluster_page import ClusterPage
from tests.unit.cluster.trio import WALL, Trio
from workers.child import Child
from workers.clusterer import tag_watch as module
from workers.clusterer.tag_watch import TagWatch, decide, former_holder
from workers.logs import Log
from workers.settings import Config

VIP = ipaddress.ip_address("192.0.2.10")
ME, OTHER = 1, 2


class Kernel:
    """The addresses of a machine, in the test's hand."""

    def __init__(self) -> None:
        self.here: set[Any] = set()
        self.is_complete = True
        self.fd = 99
        self.table = self

    def has(self, address: object) -> bool:
        return address in self.here

    def read(self) -> None:
        pass


class Node:
    """The tags of one node, its brain one of two that hear each other."""

    def __init__(self, number: int, trio: Trio, log: Log, address: str = "") -> None:
        self.trio, self.number, self.log = trio, number, log
        self.page = ClusterPage.create(None, number, ("vip",))
        self.config = Config.model_validate(
            {
                "node": {"id": number},
                "cluster": {
                    "bind": f"tcp://127.0.0.{number}:6400",
                    "tags": {"vip": {"address": address} if address else "backup"},
                },
            }
        )
        self.start()

    def start(self, brains: dict[int, Cluster] | None = None) -> None:
        """The clusterer starts, over the page that there is."""
        self.location = SimpleNamespace(units=0, capacity=1_000, count=0)
        tables = SimpleNamespace(cluster=self.page, location=self.location)
        child = SimpleNamespace(tables=tables, config=self.config, log=self.log)
        self.brains = {1: self.trio.brains[self.number]} if brains is None else brains
        self.watch = TagWatch(cast(Child, child), self.brains)

    def turn(self) -> bool:
        return self.watch.turn(self.trio.now, WALL + self.trio.now)

    @property
    def acts(self) -> bool:
        return self.page.acts(b"vip")


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(module, "AddressWatch", lambda: made)
    return made


@pytest.fixture
def trio() -> Trio:
    made = Trio(2)
    made.run(3_000)
    return made


BACKUP_HERE = Tag(epoch=5 << 16 | OTHER, holder=OTHER)
NOBODY = Tag(epoch=5 << 16 | OTHER, holder=0)
MINE = Tag(epoch=5 << 16 | ME, holder=ME)


@pytest.mark.parametrize(
    ("tag", "here", "was_here", "decision"),
    [
        (Tag(), False, None, None),
        (Tag(), True, None, True),  # a fresh start where the address is
        (BACKUP_HERE, True, None, True),
        (BACKUP_HERE, True, False, True),  # it comes
        (BACKUP_HERE, True, True, None),  # somebody else was given the tag
        (BACKUP_HERE, False, True, None),
        (NOBODY, True, True, True),  # this node was started anew, and nobody acts
        (NOBODY, False, False, None),
        (MINE, True, True, None),
        (MINE, True, None, None),
        (MINE, False, True, False),  # it leaves
        (MINE, False, None, False),  # it left while no clusterer was there
    ],
)
def test_a_tag_follows_its_address(
    tag: Tag, here: bool, was_here: bool | None, decision: bool | None
) -> None:
    assert decide(tag, ME, here, was_here) is decision


def test_a_command_is_on_the_page_in_the_same_turn(trio: Trio, log: Log) -> None:
    node = Node(ME, trio, log)
    assert node.watch.fd == -1
    assert not node.turn()
    assert not node.acts
    epoch = trio.brains[ME].activate("vip", trio.now, WALL + trio.now)
    assert node.watch.publish()
    assert node.acts
    assert node.page.epoch(b"vip") == epoch
    assert not node.turn()


def test_an_address_that_comes_and_leaves(trio: Trio, log: Log, kernel: Kernel) -> None:
    node = Node(ME, trio, log, str(VIP))
    assert node.watch.fd == kernel.fd
    assert not node.turn()
    kernel.here.add(VIP)
    assert node.turn()
    assert node.acts
    kernel.here.clear()
    assert node.turn()
    assert not node.acts
    assert trio.brains[ME].tags.get("vip").holder == 0


def test_nothing_is_decided_while_a_dump_is_under_way(trio: Trio, log: Log, kernel: Kernel) -> None:
    node = Node(ME, trio, log, str(VIP))
    kernel.here.add(VIP)
    node.turn()
    kernel.here.clear()
    kernel.is_complete = False
    assert not node.turn()
    assert node.acts


def test_of_two_nodes_the_one_the_address_moved_to_acts(
    trio: Trio, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = [Kernel(), Kernel()]
    nodes = []
    for number, each in zip((ME, OTHER), kernels, strict=True):
        monkeypatch.setattr(module, "AddressWatch", lambda each=each: each)
        nodes.append(Node(number, trio, log, str(VIP)))
    one, two = nodes

    def turns() -> tuple[bool, bool]:
        trio.run(400)
        one.turn(), two.turn()
        trio.run(400)
        one.turn(), two.turn()
        return one.acts, two.acts

    kernels[0].here.add(VIP)
    assert turns() == (True, False)
    kernels[1].here.add(VIP)  # for a moment both have it
    assert turns() == (False, True)
    kernels[0].here.clear()
    assert turns() == (False, True)
    kernels[1].here.clear()
    assert turns() == (False, False)


def test_a_new_clusterer_goes_on_under_the_same_epoch(trio: Trio, log: Log, kernel: Kernel) -> None:
    node = Node(ME, trio, log, str(VIP))
    kernel.here.add(VIP)
    node.turn()
    epoch = node.page.epoch(b"vip")
    trio.boot(ME)
    node.start()
    assert not node.turn()
    assert node.acts
    assert node.page.epoch(b"vip") == epoch
    trio.run(3_000)
    assert not node.turn()
    assert node.acts


def test_a_new_clusterer_steps_down_if_the_address_has_left(
    trio: Trio, log: Log, kernel: Kernel
) -> None:
    node = Node(ME, trio, log, str(VIP))
    kernel.here.add(VIP)
    node.turn()
    trio.boot(ME)
    node.start()
    kernel.here.clear()
    assert node.turn()
    assert not node.acts


def test_a_tag_is_let_go_even_while_nobody_knows_who_the_others_are(
    trio: Trio, log: Log, kernel: Kernel
) -> None:
    node = Node(ME, trio, log, str(VIP))
    kernel.here.add(VIP)
    node.turn()
    trio.boot(ME)
    node.start({})  # the database is away
    node.turn()
    assert node.acts
    kernel.here.clear()
    node.turn()
    assert not node.acts
    node.brains[1] = trio.brains[ME]
    node.turn()
    assert not node.acts
    kernel.here.add(VIP)
    assert node.turn()
    assert node.acts


def test_a_new_clusterer_keeps_a_tag_without_an_address(trio: Trio, log: Log) -> None:
    node = Node(ME, trio, log)
    node.turn()
    epoch = trio.brains[ME].activate("vip", trio.now, WALL + trio.now)
    node.turn()
    trio.boot(ME)
    node.start()
    node.turn()
    trio.run(3_000)
    node.turn()
    assert node.acts
    assert node.page.epoch(b"vip") == epoch


def test_a_node_that_was_started_anew_is_in_backup(trio: Trio, log: Log) -> None:
    node = Node(ME, trio, log)
    trio.brains[ME].activate("vip", trio.now, WALL + trio.now)
    trio.run(1_000)
    assert trio.brains[OTHER].tags.get("vip").holder == ME
    trio.boot(ME)
    node = Node(ME, trio, log)  # a new supervisor has made a new page
    trio.run(3_000)
    node.turn()
    assert not node.acts
    assert trio.brains[OTHER].tags.get("vip").holder == 0


def test_who_had_the_tag_before(trio: Trio, log: Log) -> None:
    page = ClusterPage.create(None, ME, ("vip",))
    page.set_tag(b"vip", 9 << 16 | ME, active=True)
    assert former_holder(page, b"vip") == ME
    page.set_tag(b"vip", 10 << 16 | ME, active=False)
    assert former_holder(page, b"vip") == 0
    page.set_tag(b"vip", 11 << 16 | OTHER, active=False)
    assert former_holder(page, b"vip") == OTHER


def test_the_page_says_what_is_old_and_whether_we_are_synced(trio: Trio, log: Log) -> None:
    node = Node(ME, trio, log)
    brain = trio.brains[ME]
    node.turn()
    wall = WALL + trio.now
    assert node.page.incarnation() == brain.wire.epoch
    assert node.page.is_synced(1) == brain.comparison.is_synced()
    horizon = brain.replication.horizon(wall)
    assert node.page.horizon() == (ME, horizon.grace_s, horizon.before)
    assert node.page.settled() == brain.replication.settled_before()
    trio.run(20_000, 50)
    node.turn()
    assert node.page.is_synced(1)
    assert node.page.settled() >> 16 > wall - 60_000


def test_a_crowded_table_lets_removals_go_when_every_node_has_them(trio: Trio, log: Log) -> None:
    node = Node(ME, trio, log)
    brain = trio.brains[ME]
    trio.run(20_000, 50)
    node.turn()
    assert node.page.horizon()[2] < node.page.settled()
    node.location.units, node.location.count = 251 * layout.NOBODY, 251
    trio.run(1_000, 50)
    node.turn()
    assert node.page.horizon()[2] == node.page.settled() == brain.replication.settled_before()
    node.location.units, node.location.count = 0, 0
    trio.run(1_000, 50)
    node.turn()
    assert node.page.horizon()[2] < node.page.settled()


def test_without_netlink_the_other_tags_go_on(
    trio: Trio, log: Log, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(module, "AddressWatch", refused)
    node = Node(ME, trio, log, str(VIP))
    assert node.watch.fd == -1
    assert not node.turn()
    assert "addresses cannot be watched" in lines[-1]
