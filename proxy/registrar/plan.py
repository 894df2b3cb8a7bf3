"""The bindings a REGISTER leads to, all of them or none (RFC 3261 §10.3-6 and -7)."""

from __future__ import annotations

from proxy.errors import BadMessage, Refused
from proxy.registrar.binding import Binding
from proxy.registrar.layout import BEHIND_NAT
from proxy.registrar.registration import Registration, check_contact, reg_id_of
from proxy.registrar.rules import RegistrarRules
from proxy.registrar.tombstones import all_of_them
from proxy.sip.headers import ContactValue
from proxy.sip.uri import Uri, parse_uri, uri_equal


class Plan:
    """The outcome for one AoR: `bindings` to store, unless nothing is to be `written`."""

    def __init__(self, bindings: list[Binding]) -> None:
        self.bindings = bindings
        self.changed: list[Binding] = []
        self.repeats = 0  # contacts this very request has bound before
        self.removed = 0
        self.added = 0
        self.missed: list[Binding] = []  # to be removed, and perhaps only known elsewhere

    @property
    def written(self) -> bool:
        """Whether the record changes. A repeated request has written its tombstones already."""
        return self.changes or (len(self.missed) > 0 and not self.repeats)

    @property
    def changes(self) -> bool:
        """Whether a binding does."""
        return bool(self.changed) or self.removed > 0

    def touched(self, binding: Binding) -> bool:
        """Whether this request has already set `binding`."""
        for other in self.changed:  # noqa: SIM110 - a closure cannot be compiled here
            if other is binding:
                return True
        return False


def make_plan(live: list[Binding], wanted: Registration) -> Plan:
    """Apply `wanted` to the live bindings; BadMessage when none of it may happen."""
    plan = Plan(live)
    if wanted.star:
        for binding in live:
            if binding.call_id == wanted.call_id and wanted.cseq <= binding.cseq:
                raise _out_of_order()
        plan.removed = len(live)
        plan.bindings = []
        if wanted.rules.replicated:
            plan.missed = all_of_them()
        return plan
    for contact in wanted.contacts:
        _apply(plan, contact, wanted)
    if plan.repeats and plan.changes:
        # Part of it is known under this CSeq and part is not: no retransmission, so out of order.
        raise _out_of_order()
    if plan.added and len(plan.bindings) > wanted.rules.max_contacts:
        _make_room(plan, wanted.rules)
    return plan


def _apply(plan: Plan, contact: ContactValue, wanted: Registration) -> None:
    uri = check_contact(contact)
    seconds = wanted.wish(contact)
    binding = _matching(plan.bindings, contact, uri, wanted)
    if (
        binding is not None
        and not plan.touched(binding)
        and _is_repeat(binding, contact, seconds, wanted)
    ):
        plan.repeats += 1
        return
    if seconds == 0:
        # To remove what is not there is to have removed it.
        if binding is not None:
            _remove(plan, binding)
        elif wanted.rules.replicated:
            plan.missed.append(_named(contact))
        return
    if binding is None:
        binding = Binding(contact.uri)
        plan.bindings.append(binding)
        plan.added += 1
    if not plan.touched(binding):
        plan.changed.append(binding)
    _fill(binding, contact, wanted)


def _named(contact: ContactValue) -> Binding:
    """A binding that says which one is meant."""
    binding = Binding(contact.uri)
    binding.instance = contact.instance
    binding.reg_id = reg_id_of(contact)
    return binding


def _remove(plan: Plan, binding: Binding) -> None:
    plan.bindings = [other for other in plan.bindings if other is not binding]
    plan.changed = [other for other in plan.changed if other is not binding]
    plan.removed += 1


def _is_repeat(binding: Binding, contact: ContactValue, seconds: int, wanted: Registration) -> bool:
    """Whether `wanted` made this binding already; BadMessage when it comes out of order."""
    if binding.call_id != wanted.call_id or wanted.cseq > binding.cseq:
        return False
    if (
        wanted.cseq < binding.cseq
        or seconds == 0
        or binding.contact != contact.uri
        or wanted.now - binding.modified > wanted.rules.cseq_delay
    ):
        raise _out_of_order()
    return True


def _out_of_order() -> BadMessage:
    return BadMessage("CSeq Out of Order", 500)


def _matching(
    bindings: list[Binding], contact: ContactValue, uri: Uri, wanted: Registration
) -> Binding | None:
    """The binding `contact` speaks of: its flow (RFC 5626 §6), else an equal URI (§10.3-7)."""
    reg_id = reg_id_of(contact)
    if reg_id:
        instance = contact.instance.lower()
        for binding in bindings:
            if binding.reg_id == reg_id and binding.instance.lower() == instance:
                return binding
    for binding in bindings:
        if reg_id and binding.reg_id:
            continue  # two flows may share one URI
        if wanted.rules.match_call_id and binding.call_id != wanted.call_id:
            continue
        if binding.contact == contact.uri or _is_equal(binding.contact, uri):
            return binding
    return None


def _is_equal(stored: bytes, uri: Uri) -> bool:
    try:
        return uri_equal(parse_uri(stored), uri)
    except BadMessage:
        return False  # put in by hand, past our checks


def _fill(binding: Binding, contact: ContactValue, wanted: Registration) -> None:
    rules = wanted.rules
    binding.contact = contact.uri
    binding.call_id = wanted.call_id
    binding.cseq = wanted.cseq
    binding.received = wanted.received
    binding.socket = wanted.socket
    binding.path = wanted.path
    binding.instance = contact.instance
    binding.reg_id = reg_id_of(contact)
    binding.user_agent = wanted.user_agent
    binding.methods = wanted.methods
    binding.q = contact.q
    binding.modified = wanted.now
    binding.expires = wanted.until(contact)
    binding.origin = rules.node
    binding.tag = rules.tag
    if wanted.received:
        binding.flags |= BEHIND_NAT
    else:
        binding.flags &= ~BEHIND_NAT


def _make_room(plan: Plan, rules: RegistrarRules) -> None:
    """Drop the oldest bindings this request does not speak of, or refuse it."""
    surplus = len(plan.bindings) - rules.max_contacts
    old = [binding for binding in plan.bindings if not plan.touched(binding)]
    if not rules.replace_when_full or surplus > len(old):
        raise Refused("Too Many Contacts", 503, rules.retry_after)
    old.sort(key=_age)
    for binding in old[:surplus]:
        _remove(plan, binding)


def _age(binding: Binding) -> tuple[int, int]:
    return binding.modified, binding.version
