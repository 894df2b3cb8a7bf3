"""What a removed binding leaves behind where other nodes hold it too (R11).

Without it, a node that has not heard of the removal would bring the binding back.
"""

from __future__ import annotations

from proxy.limits.bounds import REMOVED_CONTACTS
from proxy.registrar.binding import Binding
from proxy.registrar.layout import ALL_CONTACTS, REMOVED, REMOVED_EXPIRES

MOST = REMOVED_CONTACTS


def name_of(binding: Binding) -> bytes:
    """What makes two bindings one; replica.identity() reads the same from a record's bytes."""
    if binding.reg_id == 0:
        return binding.contact
    return binding.instance.lower() + b"\0%d" % binding.reg_id


def tombstone_of(binding: Binding, now: int, node: int) -> Binding:
    """The tombstone of a binding: its name and no more, a version is still to be given."""
    made = Binding(b"" if binding.reg_id else binding.contact)
    if binding.reg_id:
        made.instance = binding.instance
        made.reg_id = binding.reg_id
    made.flags = REMOVED
    made.expires = REMOVED_EXPIRES
    made.modified = now
    made.origin = node
    return made


def all_of_them() -> list[Binding]:
    """What stands for all bindings of an AoR, also for those that other nodes know alone."""
    return [Binding(ALL_CONTACTS)]


def stands_for_all(binding: Binding) -> bool:
    """Whether it is such a tombstone."""
    return binding.flags & REMOVED != 0 and binding.contact == ALL_CONTACTS


def tombstones_of(bindings: list[Binding], now: int, node: int) -> list[Binding]:
    """The tombstones of live bindings, to be made before anything changes these."""
    return [tombstone_of(binding, now, node) for binding in bindings]


def buried(
    kept: list[Binding], stored: list[Binding], gone: list[Binding], version: int
) -> list[Binding]:
    """`kept`, the tombstones in `stored`, and those of `gone`: each unless it is kept after all.

    The one of all bindings takes the place of those before it. Of too many the newest stay.
    """
    names = {name_of(binding) for binding in kept}
    dead: dict[bytes, Binding] = {}
    for old in stored:
        if old.flags & REMOVED:
            dead[name_of(old)] = old
    for each in gone:
        name = name_of(each)
        if name not in names:
            each.version = version
            dead[name] = each
    everything = dead.get(ALL_CONTACTS)
    least = 0 if everything is None else everything.version
    tombstones = [
        each for name, each in dead.items() if name not in names and each.version >= least
    ]
    if len(tombstones) > MOST:
        tombstones.sort(key=_newest_first)
        del tombstones[MOST:]
    return kept + tombstones


def _newest_first(tombstone: Binding) -> int:
    return -tombstone.version
