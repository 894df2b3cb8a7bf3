"""Counts that nodes share: how many calls are in each profile, how much each pipe has let pass.

This node's own numbers, absolute, go to the brains, and what peers have said of theirs goes where
workers look when they ask whether one more may pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from proxy.cluster.cluster import Cluster
from proxy.cluster.counts import PIPE, PROFILE
from proxy.dialog.layout import AT_OWNER, SHARING_TAG
from proxy.dialog.record import did_of, is_sound, string
from proxy.errors import ShmError
from proxy.limits.counters import CLUSTER_COUNTS_REFUSED
from proxy.shm import pipe_view
from proxy.shm.cluster_page import ClusterPage
from proxy.shm.dialog_table import DialogTable
from proxy.shm.group_counts import GroupCounts
from proxy.shm.profile_table import ProfileTable
from proxy.shm.words import get_u16
from workers.child import Child
from workers.cluster_settings import DIALOGS, LIMITS, contents_of, hearing_profiles

NEWS_AT_A_TIME: Final = 500  # of what peers say, some 2 ms: the loop has more to do
MEMBERS_AT_A_TIME: Final = 2_000
GROUPS_FOR_OTHERS: Final = 0.7  # of all, which may fill up: the rest is for calls of our own
ONE: Final = 1  # the brain keeps incarnations apart


class ClusterCounts:
    """The counts of all clusters of this node; `brains` by their clusters' numbers."""

    def __init__(self, child: Child, brains: Mapping[int, Cluster]) -> None:
        tables, config = child.tables, child.config
        contents = {each.id: contents_of(config, each) for each in config.cluster.clusters}
        self._brains = brains
        self._pipes = tables.pipes
        self._counters = tables.slots.counters(child.slot)
        self._of_pipes = [number for number, each in contents.items() if LIMITS in each]
        self._of_dialogs = [number for number, each in contents.items() if DIALOGS in each]
        self._of_profiles = hearing_profiles(config)
        self._busy: set[bytes] = set()  # the pipes that had a count
        self._told_to: dict[int, tuple[Cluster, bool]] = {}
        self._members: Members | None = None
        if self._of_profiles and tables.profiles is not None and tables.dialogs is not None:
            acting = None
            if self._of_dialogs and tables.cluster is not None:
                acting = Acting(tables.cluster, tables.dialogs, bool(config.dialog.sharing_tag))
            self._members = Members(tables.profiles, acting)
        declared = config.dialog.profiles + config.dialog.profiles_no_value
        self._names = {name.encode() for name in declared}

    def tell(self, now: int) -> None:
        """Tell the brains what is here: five times a second."""
        if self._of_pipes:
            self._tell_pipes(now)
        if self._members is not None:
            self._tell_profiles(self._members)

    def hear(self, now: int, wall: int) -> bool:
        """Tell the workers what peers have said, at once; True when there is more of it."""
        more = False
        for brain in self._brains.values():
            news = brain.counts.take_news(NEWS_AT_A_TIME, now)
            more |= len(news) == NEWS_AT_A_TIME
            if news:
                self._take(brain, news, now, wall)
        return more

    def _take(
        self, brain: Cluster, news: list[tuple[int, int, bytes, int]], now: int, wall: int
    ) -> None:
        alike = self._nodes_with_our_calls()
        until = (wall + brain.counts.expire_ms) // 1000
        for node, kind, name, count in news:
            if kind == PIPE:
                pipe_view.accept(self._pipes, name, node, ONE, count, now)
            elif kind == PROFILE and self._members is not None and node not in alike:
                self._accept(self._members, name, node, count, until, wall // 1000)

    def _tell_pipes(self, now: int) -> None:
        counts = dict(pipe_view.own_counts(self._pipes, now))
        for number in self._of_pipes:
            brain = self._brains.get(number)
            if brain is None:
                continue
            for name, count in counts.items():
                brain.counts.put(PIPE, name, count)
                if name not in self._busy:
                    self._catch_up(brain, name, now)
            for name in self._busy - counts.keys():
                brain.counts.put(PIPE, name, 0)
        self._busy = set(counts)

    def _catch_up(self, brain: Cluster, name: bytes, now: int) -> None:
        """A pipe that is perhaps new here: others may have told of it before."""
        for node in brain.links:
            if told := brain.counts.of(node, PIPE, name, now):
                pipe_view.accept(self._pipes, name, node, ONE, told, now)

    def _tell_profiles(self, members: Members) -> None:
        changed = members.changed()
        for number in self._of_profiles:
            brain = self._brains.get(number)
            if brain is None:
                continue
            listener = (brain, PROFILE in brain.counts.disabled)
            knows = self._told_to.get(number) == listener
            self._told_to[number] = listener
            for key, count in (changed if knows else members.told).items():
                brain.counts.put(PROFILE, key, count)

    def _nodes_with_our_calls(self) -> set[int]:
        """Who replicates its calls to us: they are members here, not to be counted once more."""
        found: set[int] = set()
        for number in self._of_dialogs:
            if number in self._brains:
                found.update(self._brains[number].links)
        return found

    def _accept(
        self, members: Members, key: bytes, node: int, count: int, until: int, now_s: int
    ) -> None:
        """What a node has in one value of a profile, if that is a profile of ours."""
        if key.partition(b"\0")[0] not in self._names:
            return
        try:
            taken = members.has_room(key) and members.table.accept(
                key, node, ONE, count, until, now_s
            )
        except ShmError:  # it is told again
            taken = False
        if not taken and count:
            self._counters.add(CLUSTER_COUNTS_REFUSED, 1)


class Members:
    """How many calls this node acts for are in each value of a profile."""

    def __init__(self, table: ProfileTable, acting: Acting | None) -> None:
        self.table = table
        self.told: dict[bytes, int] = {}
        self._acting = acting  # None: there are no calls here but our own
        self._groups = GroupCounts(table)
        self._here: dict[bytes, int] = {}
        self._made = 0  # groups, for other nodes, since they were counted
        self._knows_all = acting is None  # told is what is here, as it was when last looked at

    def has_room(self, key: bytes) -> bool:
        """Whether another node's count can be kept: the last places are for calls of our own."""
        if self.table.has(key):
            return True
        if self._groups.used + self._made >= GROUPS_FOR_OTHERS * self.table.groups:
            return False
        self._made += 1
        return True

    def changed(self) -> dict[bytes, int]:
        """The values whose number is another one than when this was asked last."""
        news = self._groups.changed()
        self._made = 0
        _update(self._here, news)
        for_all = True if self._acting is None else self._acting.for_all()
        if for_all and self._knows_all:
            _update(self.told, news)
            return news
        self._knows_all = bool(for_all)
        if for_all is None and self._acting is not None:
            counted = self._acting.count(self.table)
            return {} if counted is None else self._become(counted)
        return self._become(dict(self._here) if for_all else {})

    def _become(self, counts: dict[bytes, int]) -> dict[bytes, int]:
        news = {key: count for key, count in counts.items() if self.told.get(key) != count}
        news.update(dict.fromkeys(self.told.keys() - counts.keys(), 0))
        self.told = counts
        return news


class Acting:
    """Which of the calls here are counted by this node, where a peer has them as well."""

    def __init__(self, page: ClusterPage, dialogs: DialogTable, all_have_tags: bool) -> None:
        self._page = page
        self._dialogs = dialogs
        self._all_have_tags = all_have_tags
        self._cursor = 0
        self._counted: Counter[bytes] = Counter()

    def for_all(self) -> bool | None:
        """Whether this node acts for all calls, or for none; None: the calls have to be asked."""
        if not self._all_have_tags:
            return None
        acts = {self._page.acts(tag.encode()) for tag in self._page.tags}
        return acts.pop() if len(acts) == 1 else None

    def count(self, table: ProfileTable) -> dict[bytes, int] | None:
        """Go on counting, call by call; the numbers when all have been looked at."""
        rows, self._cursor = table.rows(self._cursor, MEMBERS_AT_A_TIME)
        for _, key, did, dialog_hash, _ in rows:
            if key and self._is_ours(did, dialog_hash):
                self._counted[key] += 1
        if self._cursor:
            return None
        counted, self._counted = self._counted, Counter()
        return dict(counted)

    def _is_ours(self, did: bytes, dialog_hash: int) -> bool:
        for _, payload, _ in self._dialogs.alike(dialog_hash):
            if is_sound(payload) and did_of(payload) == did:
                tag = string(payload, SHARING_TAG)
                return self._page.acts_for(tag, get_u16(payload, AT_OWNER))
        return False


def _update(counts: dict[bytes, int], news: dict[bytes, int]) -> None:
    for key, count in news.items():
        if count:
            counts[key] = count
        else:
            counts.pop(key, None)
