"""Who gets in, who does not, and what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.routing.request import Request
from proxy.sip.digest import ha1s_of
from proxy.sip.digest_algorithms import NAMES, SIZES
from tests.unit.routing.authenticating import PHONE, THIEF, GuardedWorld, Phone, challenges

INVITE = b"INVITE"
BOB = b"sip:bob@example.com"


@pytest.fixture
def here(tmp_path: Path) -> GuardedWorld:
    return GuardedWorld(tmp_path)


@pytest.fixture
def alice(here: GuardedWorld) -> Phone:
    return Phone(here, b"alice", b"wonderland")


def test_a_phone_with_the_password_registers(here: GuardedWorld, alice: Phone) -> None:
    given = alice.asked()
    assert [each.algorithm for each in given] == [b"SHA-256", b"MD5"]  # RFC 8760: strongest first
    assert {each.realm for each in given} == {b"example.com"}
    assert not any(each.stale for each in given)
    assert alice.send(headers=alice.answering(given[0]))[0].status == 200
    assert here.location.count == 1
    assert here.count("sipherd:auth_accepted") == 1


@pytest.mark.parametrize("algorithm", sorted(NAMES))
@pytest.mark.parametrize("qop", [b"auth", b"auth-int"])
def test_every_algorithm_and_qop(tmp_path: Path, algorithm: int, qop: bytes) -> None:
    alice = Phone(GuardedWorld(tmp_path, algorithms=(algorithm,), qop=qop), b"alice", b"wonderland")
    (given,) = alice.asked()
    assert given.algorithm == NAMES[algorithm]
    wrong = Phone(alice.here, b"alice", b"wonderbread").answering(given, qop=qop, body=b"x")
    assert alice.send(headers=wrong, body=b"x")[0].status == 401
    right = alice.answering(given, qop=qop, body=b"x")
    assert alice.send(headers=right, body=b"x")[0].status == 200
    assert len(given.nonce) == 44
    assert SIZES[algorithm] in (32, 64)


def test_a_body_that_was_changed_is_seen_with_auth_int(tmp_path: Path) -> None:
    alice = Phone(GuardedWorld(tmp_path, qop=b"auth-int"), b"alice", b"wonderland")
    given = alice.asked()[0]
    line = alice.answering(given, qop=b"auth-int", body=b"mine")
    assert alice.send(headers=line, body=b"his!")[0].status == 401


def test_a_stranger_and_a_wrong_password_are_told_the_same(here: GuardedWorld) -> None:
    told, worked = [], []
    for user in (b"alice", b"nobody"):
        phone = Phone(here, user, b"guess")
        phone.call_id = b"same"
        given = phone.asked()[0]
        phone.send(headers=phone.answering(given, nc=1))  # now both are cached
        before = here.auth.verifier.hashes
        answer = phone.send(headers=phone.answering(given, nc=2))[0]
        worked.append(here.auth.verifier.hashes - before)
        told.append((answer.status, [c._replace(nonce=b"") for c in challenges(answer)]))
    assert told[0] == told[1]
    assert told[0][0] == 401
    assert worked[0] == worked[1] == 1
    assert here.count("sipherd:auth_wrong") == 4


def test_five_hundred_wrong_passwords(here: GuardedWorld) -> None:
    guesser = Phone(here, b"alice", b"")
    given = guesser.asked()[0]
    for number in range(500):
        guesser.password = b"guess %d" % number
        (answer,) = guesser.send(headers=guesser.answering(given, nc=number + 1))
        assert answer.status == 401
        if number % 50 == 0:
            given = challenges(answer)[number // 50 % 2]
    assert here.location.count == 0
    assert here.count("sipherd:auth_accepted") == 0
    assert len(here.database.asked) == 1


# -- nonces -------------------------------------------------------------------------------------


def test_a_nonce_may_be_used_again_with_a_higher_nc(here: GuardedWorld, alice: Phone) -> None:
    given = alice.asked()[0]
    for nc in (1, 2, 3, 10, 7, 8):
        assert alice.send(headers=alice.answering(given, nc=nc))[0].status == 200
    assert here.count("sipherd:auth_challenges") == 1


def test_a_replay_is_refused_on_any_worker(here: GuardedWorld, alice: Phone) -> None:
    given = alice.asked()[0]
    line = alice.answering(given)
    assert alice.send(headers=line)[0].status == 200
    (again,) = alice.send(headers=line, contact=b"sip:thief@198.51.100.66")
    assert again.status == 401
    assert all(each.stale for each in challenges(again))
    here.start_worker()
    alice.source = THIEF
    (again,) = alice.send(headers=line, contact=b"sip:thief@198.51.100.66")
    assert again.status == 401
    assert here.count("sipherd:auth_replays") == 2


def test_a_retransmission_is_no_replay(here: GuardedWorld, alice: Phone) -> None:
    line = alice.answering(alice.asked()[0])
    assert alice.send(headers=line)[0].status == 200
    alice.cseq -= 1
    assert alice.send(headers=line)[0].status == 200
    alice.cseq -= 1
    here.wait(33)
    assert alice.send(headers=line)[0].status == 401


def test_a_nonce_that_has_expired_is_stale(here: GuardedWorld, alice: Phone) -> None:
    given = alice.asked()[0]
    here.wait(301)
    (answer,) = alice.send(headers=alice.answering(given))
    assert answer.status == 401
    renewed = challenges(answer)
    assert all(each.stale for each in renewed)
    assert alice.send(headers=alice.answering(renewed[0]))[0].status == 200


@pytest.mark.parametrize("what", ["mac", "serial", "time", "empty", "short"])
def test_a_nonce_that_is_not_ours(here: GuardedWorld, alice: Phone, what: str) -> None:
    given = alice.asked()[0]
    nonce = given.nonce
    forged = {
        "mac": nonce[:-1] + (b"0" if nonce[-1:] != b"0" else b"1"),
        "serial": nonce[:15] + (b"0" if nonce[15:16] != b"0" else b"1") + nonce[16:],
        "time": b"f" + nonce[1:],
        "empty": b"",
        "short": nonce[:-1],
    }[what]
    line = alice.answering(given._replace(nonce=forged))
    (answer,) = alice.send(headers=line)
    assert answer.status == 401
    assert not any(each.stale for each in challenges(answer))
    assert here.database.asked == []  # nobody without a nonce of ours makes us ask


def test_a_nonce_is_for_one_algorithm_and_realm(here: GuardedWorld, alice: Phone) -> None:
    sha, md5 = alice.asked()
    crossed = alice.answering(md5._replace(nonce=sha.nonce))
    assert alice.send(headers=crossed)[0].status == 401
    elsewhere = alice.answering(sha._replace(realm=b"example.org"))
    assert alice.send(headers=elsewhere)[0].status == 401
    assert here.count("sipherd:auth_wrong") == 0


def test_a_sibling_takes_our_nonce(tmp_path: Path, alice: Phone) -> None:
    (tmp_path / "b").mkdir()
    sibling = GuardedWorld(tmp_path / "b")
    given = alice.asked()[0]
    alice.here = sibling
    assert alice.send(headers=alice.answering(given))[0].status == 200


# -- what the credentials are for -----------------------------------------------------------------


def test_credentials_for_another_uri(here: GuardedWorld, alice: Phone) -> None:
    given = alice.asked()[0]
    line = alice.answering(given, target=b"sip:example.org")
    assert alice.send(headers=line)[0].status == 401
    assert here.count("sipherd:auth_other_uri") == 1
    same = alice.answering(given, target=b"sip:EXAMPLE.com")
    assert alice.send(headers=same)[0].status == 200


def test_a_proxy_before_us_may_rewrite_the_uri(tmp_path: Path) -> None:
    alice = Phone(GuardedWorld(tmp_path, check_uri=False), b"alice", b"wonderland")
    line = alice.answering(alice.asked()[0], target=b"sip:sbc.example.org")
    assert alice.send(headers=line)[0].status == 200


def test_nobody_registers_for_somebody_else(here: GuardedWorld, alice: Phone) -> None:
    line = alice.answering(alice.asked()[0])
    (answer,) = alice.send(headers=line, to=BOB)
    assert (answer.status, answer.reason) == (403, b"Forbidden auth ID")
    assert here.location.count == 0
    assert here.count("sipherd:auth_not_owner") == 1


def test_nobody_calls_as_somebody_else(here: GuardedWorld, alice: Phone) -> None:
    (asked,) = alice.send(INVITE, uri=b"sip:x@example.org", sender=BOB)
    assert asked.status == 407
    line = alice.answering(challenges(asked)[0], INVITE, target=b"sip:x@example.org")
    answers = alice.send(INVITE, line, uri=b"sip:x@example.org", sender=BOB)
    assert answers[-1].status == 403


def test_an_alias_may_be_registered_and_a_uri_too(here: GuardedWorld, alice: Phone) -> None:
    here.database.aliases[b"sales", b"example.com"] = (b"alice", b"example.com")
    here.database.uris[b"alice"] = [b"reception", b"alice.smith"]
    given = alice.asked()[0]
    for nc, name in enumerate((b"sales", b"reception", b"bob"), 1):
        alice.call_id = name
        line = alice.answering(given, nc=nc)
        answers = alice.send(headers=line, to=b"sip:%b@example.com" % name)
        assert answers[-1].status == (403 if name == b"bob" else 200)
    assert here.location.count == 2


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


def test_a_call_is_authenticated_and_its_credentials_stay_here(
    here: GuardedWorld, alice: Phone
) -> None:
    bob = Phone(here, b"bob", b"builder")
    bob.source = THIEF
    assert bob.register(contact=b"sip:bob@198.51.100.66:5060") == 200
    (asked,) = alice.send(INVITE, uri=BOB, to=BOB)
    assert asked.status == 407
    foreign = b'Proxy-Authorization: Digest username="alice", realm="other", nonce="1", uri="sip:x"'
    foreign += b', response=""\r\n'
    line = alice.answering(challenges(asked)[0], INVITE, target=BOB)
    alice.cseq += 1
    sent = here.deliver(alice.text(INVITE, foreign + line, uri=BOB, to=BOB), PHONE)
    (forwarded,) = [one.message for one in sent if one.to == THIEF]
    assert forwarded.named(b"Proxy-Authorization") == [foreign[21:-2]]
    assert b"example.com" not in b"".join(forwarded.named(b"Authorization"))


def test_calls_from_elsewhere_to_our_users_need_no_password(here: GuardedWorld) -> None:
    stranger = Phone(here, b"zoe", b"")
    answers = stranger.send(INVITE, uri=BOB, to=BOB, sender=b"sip:zoe@example.org")
    assert answers[-1].status == 404


# -- several lines, odd lines ---------------------------------------------------------------------


def test_the_strongest_of_several_lines_for_our_realm_counts(
    here: GuardedWorld, alice: Phone
) -> None:
    sha, md5 = alice.asked()
    other = alice.answering(sha._replace(realm=b"example.org"))
    wrong = Phone(here, b"alice", b"wrong").answering(md5)
    right = alice.answering(sha)
    assert alice.send(headers=other + wrong + right)[0].status == 200
    basic = b"Authorization: Basic YWxpY2U6d29uZGVybGFuZA==\r\n"
    assert alice.send(headers=basic)[0].status == 401
    assert alice.send(headers=basic * 9)[0].status == 400


@pytest.mark.parametrize("algorithm", [b"AKAv1-MD5", b"SHA-1", b"MD5-", b'""'])
def test_an_unknown_algorithm_is_as_good_as_none(alice: Phone, algorithm: bytes) -> None:
    line = alice.answering(alice.asked()[1], algorithm=algorithm)
    assert alice.send(headers=line)[0].status in (400, 401)


def test_the_form_without_qop_only_where_it_is_allowed(tmp_path: Path) -> None:
    for allowed in (False, True):
        folder = tmp_path / str(allowed)
        folder.mkdir()
        here = GuardedWorld(folder, allow_rfc2069=allowed)
        alice = Phone(here, b"alice", b"wonderland")
        line = alice.answering(alice.asked()[1], qop=b"")
        assert alice.send(headers=line)[0].status == (200 if allowed else 401)
        # without nc a nonce is good for one request
        assert alice.send(headers=line)[0].status == 401
        assert here.count("sipherd:auth_replays") == allowed


def test_a_qop_that_was_not_offered(here: GuardedWorld, alice: Phone) -> None:
    line = alice.answering(alice.asked()[0], qop=b"auth-int")
    assert alice.send(headers=line)[0].status == 401


HOSTILE = (b"'", b'"', b"\\", b"%00", b"\x00", b"--", b";", "😀".encode(), b"\xff\xfe", b"\xbf\x27")


@pytest.mark.parametrize("piece", HOSTILE)
def test_what_would_hurt_a_database_reaches_it_as_a_value_or_not_at_all(
    here: GuardedWorld, alice: Phone, piece: bytes
) -> None:
    given = alice.asked()[0]
    for name in (piece, b"alice" + piece, piece + b" OR 1=1", b"' UNION SELECT " + piece):
        mallory = Phone(here, b"alice", b"x")
        line = mallory.answering(given, username=b'"' + name + b'"')
        answers = alice.send(headers=line)
        assert [answer.status for answer in answers] in ([400], [401])
        if here.database.asked:
            assert here.database.asked[-1][1][0] == name
            name.decode()
    assert here.location.count == 0


# -- the database ---------------------------------------------------------------------------------


def test_ha1_columns_serve_as_well_as_a_password(tmp_path: Path) -> None:
    here = GuardedWorld(tmp_path, calculate_ha1=False)
    md5, sha, _ = ha1s_of(b"alice", b"example.com", b"wonderland")
    here.database.columns[b"alice"] = [md5.upper(), sha, b"not a hash"]
    alice = Phone(here, b"alice", b"wonderland")
    for given in alice.asked():
        assert alice.send(headers=alice.answering(given, nc=int(given.algorithm == b"MD5") + 1))
    assert here.count("sipherd:auth_accepted") == 2
    here.database.columns[b"bob"] = [md5, None, None]
    bob = Phone(here, b"bob", b"builder")
    assert bob.register() == 401
    assert here.count("sipherd:auth_no_hash") == 1


def test_a_user_is_asked_for_once(here: GuardedWorld, alice: Phone) -> None:
    here.database.silent = True
    given = alice.asked()[0]
    for nc in range(1, 5):
        alice.call_id = b"call-%d" % nc
        assert alice.send(headers=alice.answering(given, nc=nc)) == []
    assert len(here.database.asked) == 1
    here.database.answer()
    assert [one.message.status for one in here.collect()] == [200] * 4
    assert here.auth.inquiries.waiting == {}
    assert here.told == [b"\1s" + b"example.com\0alice"]


def test_a_database_that_is_away_stops_nobody_it_has_let_in(
    here: GuardedWorld, alice: Phone
) -> None:
    assert alice.register() == 200
    here.database.away = True
    here.wait(10_000)
    assert alice.register() == 200
    bob = Phone(here, b"bob", b"builder")
    given = bob.asked()[0]
    (answer,) = bob.send(headers=bob.answering(given))
    assert answer.status == 503
    assert answer.named(b"Retry-After") == [b"5"]
    assert here.count("sipherd:auth_unavailable") == 1
    asked = len(here.database.asked)
    bob.send(headers=bob.answering(given, nc=2))
    assert len(here.database.asked) == asked  # it is left in peace for a moment
    here.database.away = False
    here.wait(2)
    assert bob.send(headers=bob.answering(given, nc=3))[0].status == 200


def test_a_database_that_hangs_costs_the_unknown_two_seconds(
    here: GuardedWorld, alice: Phone
) -> None:
    here.database.silent = True
    assert alice.send(headers=alice.answering(alice.asked()[0])) == []
    late = here.wait(2.5)
    assert [one.message.status for one in late] == [503]
    assert here.auth.inquiries.waiting == {}


def test_a_password_that_was_changed_is_noticed_in_time(here: GuardedWorld, alice: Phone) -> None:
    assert alice.register() == 200
    here.database.users[b"alice"] = b"looking glass"
    here.wait(500)
    assert alice.register() == 200  # what is known still holds, and is asked for anew
    assert alice.register() == 401
    alice.password = b"looking glass"
    assert alice.register() == 200


def test_a_new_user_is_noticed_after_the_negative_answer_has_run_out(here: GuardedWorld) -> None:
    carol = Phone(here, b"carol", b"tea")
    assert carol.register() == 401
    here.database.users[b"carol"] = b"tea"
    assert carol.register() == 401
    here.wait(31)
    assert carol.register() == 200


def test_a_challenge_is_not_much_larger_than_what_it_answers(
    here: GuardedWorld, alice: Phone
) -> None:
    request = alice.text(b"REGISTER")
    (answer,) = here.deliver(request, PHONE)
    assert len(answer.data) <= 1.8 * len(request)


# -- other calls of a policy ----------------------------------------------------------------------


def test_a_policy_may_look_behind_an_alias_and_ask_anybody(tmp_path: Path) -> None:
    seen: list[tuple[bool, bytes]] = []

    async def policy(request: Request) -> None:
        seen.append((await request.alias_lookup(), request.uri.raw))
        request.challenge(realm=b"elsewhere", www=True)

    here = GuardedWorld(tmp_path, policy=policy)
    here.database.aliases[b"sales", b"example.com"] = (b"a;lice", b"example.com")
    zoe = Phone(here, b"zoe", b"")
    for number, user in enumerate((b"sales", b"bob")):
        zoe.call_id = b"call-%d" % number
        (answer,) = zoe.send(b"OPTIONS", uri=b"sip:%b@example.com" % user)
        assert answer.status == 401
        assert {each.realm for each in challenges(answer)} == {b"elsewhere"}
    assert seen == [(True, b"sip:a;lice@example.com"), (False, b"sip:bob@example.com")]


def test_without_auth_a_policy_that_asks_is_mistaken(tmp_path: Path) -> None:
    async def policy(request: Request) -> None:
        await request.authorize()

    here = GuardedWorld(tmp_path, policy=policy)
    here.node.authentication = None
    (answer,) = Phone(here, b"zoe", b"").send()
    assert answer.status == 500  # and nobody is let in
