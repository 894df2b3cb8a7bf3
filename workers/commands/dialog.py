"""Commands about calls: OpenSIPS' `dlg_*` and `profile_*`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final

from proxy.cluster.hlc import HybridClock
from proxy.dialog import layout as at
from proxy.dialog.decoded import DialogRecord, decode, encode
from proxy.dialog.dialog import Dialog
from proxy.dialog.profiles import did_words
from proxy.dialog.states import EndReason, State
from proxy.dialog.tracker import Tracker
from proxy.dialog.within import HEADER_LINES
from proxy.errors import CorruptRecord, ProfileUnknown
from proxy.routing.dialog_agent import END_HEADERS
from workers.child import Child
from workers.commands.command import (
    INVALID_PARAMS,
    NOT_FOUND,
    CommandError,
    Group,
    command,
    text,
)
from workers.commands.dialog_shape import context_shape, dialog_shape
from workers.errands import Errand, send_to_owner
from workers.tracking import tracker_of

SCAN_BATCH: Final = 200
ATTEMPTS: Final = 64  # an operator's command should not lose to a busy call
RINGS: Final = (State.UNCONFIRMED, State.EARLY)
NO_DIALOG: Final = "No such dialog"
NOT_REQUESTED: Final = "Requested Dialog not found"
NO_PROFILE: Final = "Profile not found"
DISABLED: Final = "Calls are not tracked: [dialog] enabled is false"


class Dialogs(Group):
    """The dialog table and the profiles."""

    def __init__(self, child: Child) -> None:
        super().__init__(child)
        self._tracked = tracker_of(child, HybridClock())

    @command
    def dlg_list(
        self, callid: str = "", from_tag: str = "", index: int = 0, counter: int = 0
    ) -> dict[str, Any]:
        """List the calls: all, `counter` of them from number `index` on, or those of a Call-ID."""
        return self._list(callid, from_tag, index, counter, dialog_shape)

    @command
    def dlg_list_ctx(
        self, callid: str = "", from_tag: str = "", index: int = 0, counter: int = 0
    ) -> dict[str, Any]:
        """List the calls as dlg_list does, with their variables and profiles."""
        return self._list(callid, from_tag, index, counter, context_shape)

    @command
    def dlg_end_dlg(self, dialog_id: str, extra_hdrs: str = "") -> str:
        """End a call, named by its did, db_id or Call-ID, by a BYE to both sides."""
        headers = extra_hdrs.replace("\\r\\n", "\r\n")
        if headers and not headers.endswith("\r\n"):
            headers += "\r\n"
        if headers and not HEADER_LINES.fullmatch(headers.encode()):
            raise CommandError(INVALID_PARAMS, "Invalid params: extra_hdrs are header lines")
        dialog = self._named(dialog_id)
        if dialog is None or not dialog.is_live:
            raise CommandError(NOT_FOUND, NOT_REQUESTED)
        self._end(dialog, headers.encode())
        return "OK"

    @command
    def profile_get_size(self, profile: str, value: str = "") -> dict[str, Any]:
        """Say how many calls are in a profile, with one value or with all."""
        tracker = self._tracker()
        size = self._asked(
            lambda: tracker.store.profiles.size(
                profile.encode(), value.encode() or None, int(time.time())
            )
        )
        shape = {"name": profile, "value": value or None, "count": size}
        config = self._child.config
        replicated = config.replicates("dialogs") or config.replicates("profiles")
        told = {"shared": "no", "replicated": "yes" if replicated else "no"}
        return {"Profile": {**shape, **told}}

    @command
    def profile_get_values(self, profile: str) -> list[dict[str, Any]]:
        """List the values of a profile, and how many calls are in each."""
        tracker = self._tracker()
        found = self._asked(
            lambda: tracker.store.profiles.values(profile.encode(), int(time.time()))
        )
        return [{"value": text(value) or None, "count": size} for value, size in found]

    @command
    def profile_list_dlgs(self, profile: str, value: str = "") -> dict[str, Any]:
        """List the calls that are in a profile."""
        shapes = [dialog_shape(dialog.record()) for dialog in self._members(profile, value)]
        return {"Dialogs": shapes}

    @command
    def list_all_profiles(self) -> dict[str, Any]:
        """List the profiles that are declared."""
        names = self._tracker().store.profiles.names
        return {
            "Profiles": [{"name": text(name), "has value": takes} for name, takes in names.items()]
        }

    @command
    def profile_end_dlgs(self, profile: str, value: str = "") -> str:
        """End all calls that are in a profile."""
        for dialog in self._members(profile, value):
            self._end(dialog, b"")
            self._child.beat()
        return "OK"

    @command
    def dlg_push_var(self, dlg_val_name: str, dlg_val_value: str, DID: list[str]) -> str:
        """Give calls a variable; DID names them by did, db_id or Call-ID."""
        if not dlg_val_name or not DID:
            raise CommandError(INVALID_PARAMS, "Invalid params: a name and a DID are needed")
        for each in DID:
            dialog = self._named(each)
            if dialog is None:
                raise CommandError(NOT_FOUND, NOT_REQUESTED)
            if not dialog.set_variable(dlg_val_name.encode(), dlg_val_value.encode()):
                raise CommandError(INVALID_PARAMS, "No room for the variable")
        return "OK"

    @command
    def dlg_set_profile(
        self, dlg_id: str, profile: str, value: str = "", clear_values: bool = False
    ) -> str:
        """Put a call into a profile; with clear_values it leaves the profile's other values."""
        dialog = self._live(dlg_id)
        name, wanted = profile.encode(), value.encode()
        if clear_values:
            for other, held in dialog.profiles():
                if other == name and held != wanted:
                    dialog.leave(other, held)
        if not self._asked(lambda: dialog.join(name, wanted, 0)):
            raise CommandError(INVALID_PARAMS, "The dialog could not join the profile")
        return "OK"

    @command
    def dlg_unset_profile(self, dlg_id: str, profile: str, value: str = "") -> str:
        """Take a call out of a profile."""
        dialog = self._live(dlg_id)
        if not self._asked(lambda: dialog.leave(profile.encode(), value.encode())):
            raise CommandError(NOT_FOUND, NO_PROFILE)
        return "OK"

    # -- finding ------------------------------------------------------------------------------

    def _tracker(self) -> Tracker:
        if self._tracked is None:
            raise CommandError(NOT_FOUND, DISABLED)
        self._tracked.store.set_time(time.time_ns() // 1_000_000)
        return self._tracked

    def _asked(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except ProfileUnknown as error:
            raise CommandError(NOT_FOUND, f"{NO_PROFILE}: {error}") from None

    def _all(self) -> Iterator[Dialog]:
        """Every call that has not ended; this process goes on giving signs of life meanwhile."""
        tracker = self._tracker()
        cursor = 0
        while True:
            rows, cursor = tracker.store.table.scan(cursor, SCAN_BATCH)
            for key, _ in rows:
                dialog = tracker.open(key)
                if dialog is not None and dialog.is_live:
                    yield dialog
            self._child.beat()
            if cursor == 0:
                return

    def _list(
        self,
        callid: str,
        from_tag: str,
        index: int,
        counter: int,
        shape: Callable[[DialogRecord], dict[str, Any]],
    ) -> dict[str, Any]:
        if callid:
            for dialog in self._all():
                record = dialog.record()
                if text(record.call_id) == callid and from_tag in {"", text(record.caller.tag)}:
                    return {"Dialog": shape(record)}
            raise CommandError(NOT_FOUND, NO_DIALOG)
        if index < 0 or counter < 0:
            raise CommandError(INVALID_PARAMS, "Invalid params: index and counter are from 0 on")
        early, active = self._tracker().store.table.gauges()
        shapes: list[dict[str, Any]] = []
        for number, dialog in enumerate(self._all()):
            if counter and number >= index + counter:
                break
            if number >= index:
                shapes.append(shape(dialog.record()))
        count = early + active if counter else index + len(shapes)
        return {"count": count, "Dialogs": shapes}

    def _named(self, name: str) -> Dialog | None:
        """The call that goes on under a did, db_id or Call-ID."""
        for dialog in self._all():
            with suppress(CorruptRecord):
                record = dialog.record()
                if name in (record.did, str(record.db_id), text(record.call_id)):
                    return dialog
        return None

    def _live(self, name: str) -> Dialog:
        dialog = self._named(name)
        if dialog is None:
            raise CommandError(NOT_FOUND, NOT_REQUESTED)
        return dialog

    def _members(self, profile: str, value: str) -> list[Dialog]:
        """The live calls in a profile; without a value in any of its values."""
        profiles = self._tracker().store.profiles
        name = profile.encode()
        if name not in profiles.names:
            raise CommandError(NOT_FOUND, NO_PROFILE)
        takes_value = profiles.names[name]
        if value or not takes_value:
            members = self._asked(lambda: profiles.members(name, value.encode()))
        else:
            values = [each for each, _ in profiles.values(name, int(time.time()))]
            members = [did for each in values for did in profiles.members(name, each)]
        dids = {did_words(did) for did in members}
        return [dialog for dialog in self._all() if text(dialog.did) in dids]

    # -- ending -------------------------------------------------------------------------------

    def _end(self, dialog: Dialog, headers: bytes) -> None:
        """Write into the record that the end is wanted, then tell the worker.

        Should that one not hear it, the timekeeper tells it again.
        """
        owner = dialog.record().owner
        if dialog.state in RINGS and owner not in {0, self._child.config.node.id}:
            self._leave_to(owner, dialog)
            return
        if headers and not dialog.set_variable(END_HEADERS, headers):
            raise CommandError(INVALID_PARAMS, "No room for the headers")
        dialog.change(partial(want_end, now=self._tracker().store.wall))
        send_to_owner(self._child, dialog.call_id, Errand.DIALOG, dialog.key)

    def _leave_to(self, owner: int, dialog: Dialog) -> None:
        """A call that rings is cancelled by the node that has its INVITE: it stays the owner."""
        store = self._tracker().store
        for _ in range(ATTEMPTS):
            payload, stamp = store.read(dialog.key)
            if payload is None:
                return
            record = decode(dialog.key, payload)
            if not want_end(record, store.wall):
                return
            record.version = store.clock.tick(store.wall_ms, record.version)
            record.owner = owner
            if store.write(dialog.key, stamp, encode(record)):
                return


def want_end(record: DialogRecord, now: int) -> bool:
    """Note that an operator wants a call ended; False if it has, or is going to."""
    if record.state == State.DELETED or record.flags & at.END_WANTED:
        return False
    record.flags |= at.END_WANTED
    record.end_reason = EndReason.MI_TERMINATION
    record.due = now
    return True
