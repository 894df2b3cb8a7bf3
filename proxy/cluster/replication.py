"""Changes on their way: ours to the peers, theirs into our tables.

Every peer is sent the same batches of current records, each at its own pace. What came from a peer
is known by its stamp when its own note comes along, and is never sent on.
"""

from __future__ import annotations

from collections import deque
from zlib import crc32

from proxy.cluster.backlog import Backlog, Note
from proxy.cluster.digests import Digests
from proxy.cluster.form import Form
from proxy.cluster.frames import Frame, Record, decode_records, encode_records
from proxy.cluster.hlc import HybridClock
from proxy.cluster.link import REFUSED_MS, Event, Link, State
from proxy.cluster.membership import Membership
from proxy.cluster.messages import DATA_HEAD, Ack, Hello, Kind, Welcome, unpack
from proxy.cluster.settings import Settings
from proxy.cluster.store import LOST, Horizon, Store
from proxy.cluster.telling import Batch, Telling
from proxy.cluster.wire import Wire
from proxy.errors import BadFrame, LockTimeout, RestMissing, TableFull
from proxy.limits import bounds

TAKEN_AT_ONCE = 4_096
SCANNED_AT_ONCE = 1_024
MARKS = 4_096
INCOMPLETE = -1  # what apply() says of records whose rest is not here
# Compiled, these are C numbers.
BATCH_RECORDS = bounds.BATCH_RECORDS
BATCH_BYTES = bounds.BATCH_BYTES


class Replication:
    """One cluster's changes on one node."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: HybridClock,
        wire: Wire,
        membership: Membership,
        links: dict[int, Link],
    ) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self.wire = wire
        self.membership = membership
        self.links = links
        self.digests = Digests()
        self.backlog = Backlog(settings.backlog)
        self.disabled: set[int] = set()  # tables an operator took out
        self.crowded = False  # whether tombstones have to go as soon as every node has them
        self.scanning = 0  # the next cursor, -1 = all is known
        self.is_drained = False  # whether every change here is in the sums
        self.stable_ms = 0
        self._marks: deque[tuple[int, int]] = deque(maxlen=MARKS)  # position, moment
        self.telling = Telling(self.digests, store.forms, self.disabled)
        self._batches: dict[tuple[int, bool], Batch] = {}
        self._greetings = 0

    # -- our changes -------------------------------------------------------------------------------

    @property
    def is_scanned(self) -> bool:
        """Whether the sums are those of everything here."""
        return self.scanning < 0

    def pump(self, now: int, wall: int) -> bool:
        """Take what changed and send it; whether there is more to do at once."""
        if self.scanning >= 0:
            self._scan()
        self._batches.clear()
        more = self._take(now)
        self.is_drained = not more and self.is_scanned
        self._mark(wall)
        for link in self.links.values():
            more |= self._send(link, now)
        return more or self.scanning >= 0

    def _scan(self) -> None:
        """Learn what is here: at the start, and when changes were lost on the way to us."""
        records, cursor = self.store.scan(self.scanning, SCANNED_AT_ONCE)
        self.digests.learn(self.store.forms, records)
        self.scanning = cursor if cursor else -1

    def _take(self, now: int) -> bool:
        telling = self.telling
        telling.begin(self.backlog.head)
        taken = self.store.take(TAKEN_AT_ONCE, now, telling)
        if taken == LOST:
            self.wire.note("changes lost", "the change ring was overrun: comparing everything")
            self.wire.tallies["overruns"] += 1
            self.digests.clear()
            self.scanning = 0
            self.backlog.skip()
            telling.begin(self.backlog.head)
            return True
        if telling.count:
            self.backlog.extend(telling.end(), telling.count)
        return taken >= TAKEN_AT_ONCE

    def _send(self, link: Link, now: int) -> bool:
        """What the peer may get; whether something is left over for the next turn."""
        sending = link.sending
        if sending.overdue(now) and link.next_hop:
            sending.rewind(sending.acked, now)
            self.wire.tallies["resends"] += 1
        frames = 0
        while link.next_hop and sending.may_send(self.backlog.head):
            if sending.sent < self.backlog.tail:
                self._skip_ahead(link, now)
                return True
            if frames == 8:
                return True  # the bus and the other peers have their turn
            upto, body, body_sum, _, _ = self._batch(sending.sent, sending.whole)
            self.wire.send(link, Kind.DATA, upto, body, body_sum)
            sending.note_sent(upto, now)
            frames += 1
        return False

    def may_send(self) -> bool:
        """Whether a peer's credit allows what has been waiting for it."""
        head = self.backlog.head
        return any(link.next_hop and link.sending.may_send(head) for link in self.links.values())

    def _skip_ahead(self, link: Link, now: int) -> None:
        """The peer is further behind than we remember: go on from here, it has to compare."""
        link.sending.begin(self.backlog.head, now)
        self.wire.send(link, Kind.WELCOME, 0, Welcome(0, self.backlog.head, False).encode())
        self.wire.tallies["skips"] += 1

    def _batch(self, after: int, may_be_brief: bool) -> Batch:
        """The changes after a position as the body of a frame.

        What is told for the first time may be brief for a peer that lacks nothing, what is told
        again is whole.
        """
        batch = self._batches.get((after, may_be_brief))
        if batch is None:
            batch = self.telling.batches.get(after) if may_be_brief else None
            if batch is None:
                batch = self._again(after, may_be_brief)
            self._batches[after, may_be_brief] = batch
            self.wire.tallies["records"] += batch[3]
            self.wire.tallies["briefs"] += batch[4]
        return batch

    def _again(self, after: int, up_to_now: bool) -> Batch:
        """A batch of what was noted before, or is not to be brief: of a record that changed several
        times there is one state, the one it has now.
        """
        limit = BATCH_RECORDS
        if up_to_now and after < self.telling.start:
            limit = min(limit, self.telling.start - after)  # there the batches of this turn begin
        records: dict[Note, bytes] = {}
        upto = after
        size = 0
        for note in self.backlog.since(after, limit):
            upto += 1
            table, key = note
            body = None if note in records or table in self.disabled else self.store.fetch(*note)
            if body is not None:
                records[note] = body
                size += len(key) + len(body)
                if size >= BATCH_BYTES:
                    break
        told = [(table, key, body) for (table, key), body in records.items()]
        data = encode_records(DATA_HEAD.pack(after), told)
        return upto, data, crc32(data), len(told), 0

    def _mark(self, wall: int) -> None:
        """Up to which moment every peer has what changed here; to be said when all is in."""
        if not self.is_drained:
            return
        head = self.backlog.head
        if not self._marks or self._marks[-1][0] < head:
            self._marks.append((head, wall))
        links = self.links.values()
        if not all(link.sending.started and link.sending.whole for link in links):
            return
        least = min((link.sending.acked for link in links), default=head)
        if least >= head:
            self.stable_ms = max(self.stable_ms, wall)
            return
        while len(self._marks) > 1 and self._marks[1][0] <= least:
            self._marks.popleft()
        if self._marks[0][0] <= least:
            self.stable_ms = max(self.stable_ms, self._marks[0][1])

    # -- a peer's greeting -------------------------------------------------------------------------

    def greet(self, link: Link, now: int, wall: int) -> None:
        """Ask a peer for its changes, until it answers."""
        following = link.following
        if following.state != State.GREETING or now < following.ask_at:
            return
        self._greetings += 1
        following.greeting = self._greetings
        following.ask_at = now + self.settings.pace.hello
        epoch = following.epoch if following.complete else 0
        tables, mark = tuple(sorted(self.settings.tables)), self.settings.mark
        hello = Hello(following.greeting, epoch, following.position, wall, tables, mark)
        self.wire.send(link, Kind.HELLO, 0, hello.encode())

    def remind(self, link: Link, now: int) -> None:
        """A peer that does not ask has not noticed that we lost it for a moment, or forgot it."""
        if not link.sending.started and now - link.waits_since >= 2 * self.settings.pace.hello:
            link.waits_since = now
            self._skip_ahead(link, now)
            self.wire.tallies["reminders"] += 1

    def on_hello(self, link: Link, frame: Frame, now: int, wall: int) -> None:
        """A peer asks for ours: from where it is, or from now on."""
        hello = Hello.decode(frame.body)
        link.waits_since = now
        link.trouble = self._objection(hello)
        if link.trouble:
            self._refuse(link, now)
            return
        backlog = self.backlog
        resumed = hello.epoch == self.wire.epoch and backlog.tail <= hello.position <= backlog.head
        start = hello.position if resumed else backlog.head
        link.sending.begin(start, now)
        welcome = Welcome(hello.greeting, start, resumed)
        self.wire.send(link, Kind.WELCOME, 0, welcome.encode())

    def _objection(self, hello: Hello) -> str:
        """Why a peer is none that we could keep tables equal with; empty when it is one."""
        tables = tuple(sorted(self.settings.tables))
        if hello.tables != tables:
            return f"it keeps the tables {hello.tables} and we {tables}"
        if hello.mark and self.settings.mark not in (b"", hello.mark):
            return "its [node] secret is another one than ours"
        return ""

    def _refuse(self, link: Link, now: int) -> None:
        """No WELCOME: the peer gets nothing of us and stays unsynced, as we do, for it does so."""
        self.wire.tallies["hellos_refused"] += 1
        link.sending.stop()
        if now - link.refused_at >= REFUSED_MS:
            link.refused_at = now
            self.wire.note("node refused", f"node {link.peer}: {link.trouble}")

    def on_welcome(self, link: Link, frame: Frame, now: int, wall: int) -> None:
        """A peer says where its changes begin."""
        welcome = Welcome.decode(frame.body)
        following = link.following
        if welcome.greeting == 0:
            if following.takes_changes and welcome.position > following.position:
                following.position = welcome.position
                following.compare_at = now
                following.handle(Event.MISSED)
                self.wire.tallies["skipped"] += 1
            elif following.takes_changes and welcome.position == following.position:
                link.owes_ack = True  # nothing is missing
            return
        if following.state != State.GREETING or welcome.greeting != following.greeting:
            return
        if welcome.resumed and following.complete:
            following.compare_at = now + self.settings.pace.repair_soon
            following.handle(Event.RESUMED)
        else:
            following.position = welcome.position
            following.compare_at = now
            following.handle(Event.FRESH)
        link.owes_ack = True

    # -- a peer's changes --------------------------------------------------------------------------

    def on_data(self, link: Link, frame: Frame, now: int, wall: int) -> None:
        """A batch of a peer: taken when it is the next, acknowledged when it is committed."""
        (after,) = unpack(DATA_HEAD, frame.body, 0)
        records = decode_records(frame.body, DATA_HEAD.size)
        self.check(records)
        following = link.following
        if not following.takes_changes:
            return
        verdict = following.judge(after, frame.sequence)
        done = self.apply(link, records, wall) if verdict > 0 else 0
        if verdict < 0 or done == INCOMPLETE:
            link.gap = True
            self.wire.tallies["gaps" if verdict < 0 else "incomplete"] += 1
        elif verdict > 0:
            if not done:
                if following.quarantine:
                    return  # unacknowledged: it comes again
                following.handle(Event.MISSED)
                following.compare_at = now + self.settings.pace.repair
            following.position = frame.sequence
        link.owes_ack = True

    def check(self, records: list[Record]) -> None:
        """BadFrame unless every record can be one: before any of them is taken."""
        forms = self.store.forms
        for table, key, body in records:
            form = forms.get(table)
            if form is None or not form.names(key) or not form.sound(body):
                raise BadFrame(f"a record of table {table} that is not sound")

    def apply(self, link: Link, records: list[Record], wall: int) -> int:
        """Commit what is new in them; 1 + how many were new.

        0 when one could not be taken, INCOMPLETE when one is needed whole.
        """
        forms = self.store.forms
        for table, _, body in records:
            form = forms[table]
            newest = form.newest(body)
            if not self.clock.observe(newest, wall) and not self._may_lead(link, newest, wall):
                self._quarantine(link, newest, wall)
                return 0
        if link.following.quarantine:
            link.following.quarantine = 0
            link.trouble = ""
        horizon = self.horizon(wall)
        self.store.warm(records)
        self.digests.expect(records)
        outcome = 1
        news = 0
        for table, key, body in records:
            if table in self.disabled:
                continue
            try:
                stored = self.store.apply(table, key, body, horizon)
            except (TableFull, LockTimeout) as reason:
                self.wire.tallies["refused"] += 1
                link.trouble = str(reason)
                outcome = 0
                break
            except RestMissing:
                outcome = INCOMPLETE
                break
            if stored is not None:
                news += 1
                self._learn(forms[table], table, key, self.store.was, stored)
        if outcome != 1:
            return outcome
        self.wire.tallies["applied"] += len(records)
        return 1 + news

    def _learn(self, form: Form, table: int, key: bytes, old: bytes | None, new: bytes) -> None:
        """Take a record in after a peer's word; what our edge has made of it is news to the peers.

        The note of that, when it is read, will find nothing that we do not know.
        """
        if form.mixed and old is not None:
            form.look(old)
            if not self.digests.knows(table, key, form.live, form.dead):
                self.backlog.add(table, key)
        form.look(new)
        self.digests.note(table, key, form.live, form.dead)

    def _may_lead(self, link: Link, version: int, wall: int) -> bool:
        """Whether a peer gave this version while its clock was wrong, which is right again."""
        most = self.settings.max_lead_ms
        if link.next_hop == link.peer:  # else its beats do not come here
            most = self.membership.lead_ms(link.peer, most)
        return (version >> 16) <= wall + most

    def _quarantine(self, link: Link, version: int, wall: int) -> None:
        lead = (version >> 16) - wall
        if not link.following.quarantine:
            text = f"node {link.peer} sends versions {lead} ms ahead of our clock"
            self.wire.note("clock leads", text)
        link.following.quarantine = version
        link.trouble = f"its versions lead our clock by {lead} ms"
        self.wire.tallies["clock_leads"] += 1

    def on_ack(self, link: Link, frame: Frame, now: int, wall: int) -> None:
        """A peer has committed our changes up to here, or misses what follows."""
        ack = Ack.decode(frame.body)
        sending = link.sending
        position = frame.sequence
        if ack.epoch != self.wire.epoch or not sending.started or position > self.backlog.head:
            return
        credit = min(ack.credit, self.settings.window)
        if not ack.gap:
            sending.acknowledge(position, credit, ack.whole, now)
        elif position >= self.backlog.tail:
            sending.whole = False  # until it says so: what goes to it now is not made brief
            sending.rewind(position, now)
        else:
            self._skip_ahead(link, now)

    def acknowledge(self, link: Link) -> None:
        """One acknowledgement for everything that came in this turn."""
        if not link.owes_ack:
            return
        following = link.following
        whole = following.state == State.FOLLOWING and not link.gap
        ack = Ack(following.epoch, self.settings.window, link.gap, whole)
        self.wire.send(link, Kind.ACK, following.position, ack.encode())
        link.owes_ack = link.gap = False

    # -- what is too old ---------------------------------------------------------------------------

    def horizon(self, wall: int) -> Horizon:
        """What is too old to be taken."""
        grace = max((self.grace_s(peer) for peer in self.links), default=0)
        return Horizon(self.settings.node, wall // 1000, grace, self.tombstones_before(wall))

    def grace_s(self, origin: int) -> int:
        """How long a replica outlives its expiry by our clock: its owner's may be behind."""
        offset = self.membership.worst_offset_ms(origin)
        return self.settings.pace.grace_s + (2 * offset + 999) // 1000

    def tombstones_before(self, wall: int) -> int:
        """Tombstones with lower versions can go.

        Either everything they could still delete has run out by itself, or every node has told that
        every node has them, and the last frame that was under way then has long arrived.
        """
        pace = self.settings.pace
        lead = self.settings.max_lead_ms
        moments = [0]
        if pace.longest_life_s:
            moments.append(wall - 1000 * (pace.longest_life_s + pace.grace_s) - 2 * lead)
        settled = self.settled_before() >> 16
        least_s = 0 if self.crowded else pace.tombstone_least_s
        moments.append(min(settled, wall - 1000 * least_s))
        return max(moments) << 16

    def settled_before(self) -> int:
        """Lower versions are at every node, as all have told, with time to spare for their clocks.

        What may be forgotten as soon as nobody can send anything older: ended dialogs.
        """
        stable = self.stable_ms
        for peer in self.membership.peers.values():
            stable = min(stable, peer.beat.stable_ms if peer.beat is not None else 0)
        return max(stable - self.settings.max_lead_ms, 0) << 16
