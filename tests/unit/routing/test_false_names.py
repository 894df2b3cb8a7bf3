"""What a hostile user may try, with a password of their own or without: names, realms, headers."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.routing.request import Request
from proxy.sip.digest_algorithms import NAMES
from tests.unit.routing.authenticating import GuardedWorld, Phone, challenges

INVITE = b"INVITE"
BOB = b"sip:bob@example.com"


@pytest.fixture
def here(tmp_path: Path) -> GuardedWorld:
    return GuardedWorld(tmp_path)


@pytest.fixture
def alice(here: GuardedWorld) -> Phone:
    return Phone(here, b"alice", b"wonderland")


def test_a_domain_without_a_user_is_nobodys(here: GuardedWorld, alice: Phone) -> None:
    """Neither to register nor to call as; the table `uri` holding nothing for alice."""
    given = alice.asked()[0]
    for nc, nobody in enumerate((b"sip:example.com", b"sip:@example.com", b"sip:%20@example.com")):
        line = alice.answering(given, nc=nc + 1)
        assert alice.send(headers=line, to=nobody)[-1].status in (400, 403)
    (asked,) = alice.send(INVITE, uri=BOB, sender=b"sip:example.com")
    line = alice.answering(challenges(asked)[0], INVITE, target=BOB)
    assert alice.send(INVITE, line, uri=BOB, sender=b"sip:example.com")[-1].status == 403
    assert here.location.count == 0


def test_names_of_another_user_that_the_database_takes_for_equal(
    here: GuardedWorld, alice: Phone
) -> None:
    """MariaDB compares without case and without trailing spaces; we compare bytes."""
    here.database.uris[b"alice"] = [b"reception"]
    here.database.equal = b"Alice "
    line = alice.answering(alice.asked()[0])
    assert alice.send(headers=line, to=b"sip:reception@example.com")[-1].status == 403


@pytest.mark.parametrize(
    "sender",
    [
        *(b"sip:bob@example.com:9999", b"sips:bob@example.com", b"sip:bob@EXAMPLE.com;x=1"),
        *(b"sip:%62ob@example.com", b"sip:bob:pw@example.com", b"sip:bob;p=1@example.com"),
        *(b"sip:bob@192.0.2.100:5060", b"sip:BOB@example.com", b"sip:bob%00@example.com"),
    ],
)
def test_no_spelling_of_a_from_address_of_ours_goes_unasked(
    here: GuardedWorld, alice: Phone, sender: bytes
) -> None:
    (asked,) = alice.send(INVITE, uri=BOB, sender=sender)
    assert asked.status == 407
    given = next(each for each in challenges(asked) if each.realm == b"example.com")
    answers = alice.send(INVITE, alice.answering(given, INVITE, target=BOB), uri=BOB, sender=sender)
    assert answers[-1].status == 403


def test_a_user_whose_name_no_uri_can_hold_bare(here: GuardedWorld) -> None:
    for name, escaped in (
        (b"J\xc3\xbcrg", b"J%c3%BCrg"),
        (b"\xf0\x9f\x8d\x84", b"%F0%9F%8D%84"),
        (b"50%25", b"50%2525"),
        (b"a b", b"a%20b"),
    ):
        here.database.users[name] = b"x"
        phone = Phone(here, name, b"x")
        phone.call_id = name.hex().encode()
        to = b"sip:%b@example.com" % escaped
        line = phone.answering(phone.asked(to=to, sender=to)[0])
        assert phone.send(headers=line, to=to, sender=to)[-1].status == 200
    here.database.users[b"%61lice"] = b"x"
    thief = Phone(here, b"%61lice", b"x")
    line = thief.answering(thief.asked()[0])
    assert thief.send(headers=line, to=b"sip:%61lice@example.com")[-1].status == 403


def test_one_user_cannot_have_a_record_for_each_port(here: GuardedWorld, alice: Phone) -> None:
    line = alice.answering(alice.asked()[0])
    assert alice.send(headers=line, to=b"sip:alice@example.com:9999")[-1].status == 403
    assert here.location.count == 0


def test_names_in_uri_are_of_the_users_own_domain(tmp_path: Path) -> None:
    """Alice of example.com may be reception there, and not at another customer's."""
    here = GuardedWorld(tmp_path, domains=(b"example.com", b"example.net"))
    here.database.uris[b"alice"] = [b"reception"]
    seen: list[object] = []

    async def policy(request: Request) -> None:
        seen.append(await request.authorize(realm=b"example.com"))

    here.core.policy = policy
    alice = Phone(here, b"alice", b"wonderland")
    given = alice.asked()[0]
    for nc, to in enumerate((b"sip:reception@example.net", b"sip:alice@example.net")):
        alice.call_id = to
        line = alice.answering(given, nc=nc + 1)
        assert alice.send(headers=line, to=to)[-1].status == 403
    assert seen == [None] * 3


def test_invented_subdomains_do_not_fill_the_cache(tmp_path: Path) -> None:
    here = GuardedWorld(tmp_path, use_domain=False)
    here.node.identity.domains.replace([[b"example.com", None, b"1"]])
    guesser = Phone(here, b"alice", b"guess")
    for number in range(10):
        to = b"sip:alice@s%d.example.com" % number
        given = guesser.asked(to=to)[0]
        assert guesser.send(headers=guesser.answering(given), to=to)[-1].status == 401
    assert here.table.count == 1
    alice = Phone(here, b"alice", b"wonderland")
    to = b"sip:alice@s1.example.com"
    assert alice.send(headers=alice.answering(alice.asked(to=to)[0]), to=to)[-1].status != 403


def test_credentials_of_the_other_header_do_not_count(here: GuardedWorld, alice: Phone) -> None:
    line = alice.answering(alice.asked()[0])
    assert alice.send(headers=b"Proxy-" + line)[-1].status == 401
    assert alice.send(headers=line)[-1].status == 200


def test_of_two_credentials_for_us_one_wrong_one_spoils_nothing_and_gains_nothing(
    here: GuardedWorld, alice: Phone
) -> None:
    """Under the same algorithm the first counts, whatever stands behind it."""
    given = alice.asked()[0]
    wrong = Phone(here, b"alice", b"guess")
    both = alice.answering(given, nc=1) + wrong.answering(given, nc=2)
    assert alice.send(headers=both)[-1].status == 200
    both = wrong.answering(given, nc=3) + alice.answering(given, nc=4)
    assert alice.send(headers=both)[-1].status == 401


def test_a_strong_algorithm_cannot_be_talked_down(tmp_path: Path) -> None:
    """Credentials, or a nonce, of an algorithm that is not offered, with the right password."""
    here = GuardedWorld(tmp_path, algorithms=(max(NAMES),))
    alice = Phone(here, b"alice", b"wonderland")
    (given,) = alice.asked()
    for algorithm in (b"MD5", b"SHA-256", b"MD5-sess"):
        weak = given._replace(algorithm=algorithm)
        assert alice.send(headers=alice.answering(weak))[-1].status == 401
    assert here.location.count == 0
