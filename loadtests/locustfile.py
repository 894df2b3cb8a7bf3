"""Telephones for locust: the scenarios are classes, name one to have it alone.

    locust -f loadtests/locustfile.py --headless -u 500 -r 100 -t 60s [--picture run.png] [CLASS]

Against a server started by `./run`, or any other: `--host sip://192.0.2.10:5060`.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from pathlib import Path

import gevent
from locust import between, constant, events, task

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from loadtests.picture import Course, draw
from loadtests.sip_user import EXPIRES, Refused, SipUser, Unanswered, server_of

WAVE_S = 15.0
SHORT_S = 60
PATIENCE_S = 3.0  # with one of two servers
TURNS = 4


class SteadyRegistrar(SipUser):
    """An ordinary day: refreshes, keep-alives, now and then a restart."""

    weight = 3
    wait_time = between(2, 6)

    @task(9)
    def refresh(self) -> None:
        self.register("refresh")

    @task(1)
    def restart(self) -> None:
        self.register("unregister", 0)
        self.phone.begin_registration()
        self.register("first")


class MorningStorm(SipUser):
    """Power is back: every few seconds all of them start at once, from new ports."""

    weight = 1
    wait_time = constant(0)

    @task
    def power_up(self) -> None:
        gevent.sleep(WAVE_S - time.time() % WAVE_S + random.uniform(0, 0.2))
        self.line.close()
        self.line = self.plug_in()
        self.phone.begin_registration()
        self.register("storm", SHORT_S)  # the contacts of earlier ports run out soon


class CallMix(SipUser):
    """They call each other: answered, busy, given up, with a re-INVITE."""

    weight = 2
    wait_time = between(1, 5)

    def on_start(self) -> None:
        super().on_start()
        self.listed[self.phone.user] = self

    def somebody(self) -> str:
        """Another one of them; empty while there is none."""
        others = [user for user in self.listed if user != self.phone.user]
        return random.choice(others) if others else ""

    @task(6)
    def talk(self) -> None:
        if user := self.somebody():
            self.whole(self.call, user, random.uniform(0.5, 4))

    @task(2)
    def talk_and_hold(self) -> None:
        if user := self.somebody():
            self.whole(self.call, user, random.uniform(1, 4), True)

    @task(2)
    def lose_patience(self) -> None:
        if user := self.somebody():
            self.whole(self.call_in_vain, user, random.uniform(0, 1))

    @task(2)
    def refresh(self) -> None:
        self.register("refresh")


class FailoverPair(SipUser):
    """It knows two servers, and turns to the other when one is silent (RFC 3263 §4.3)."""

    weight = 1
    wait_time = between(1, 3)

    def on_start(self) -> None:
        second = getattr(self.environment.parsed_options, "sip_second", "")
        self.other = server_of(second) if second else self.server
        super().on_start()

    @task
    def refresh(self) -> None:
        with self.measured("REGISTER", "at either of two"):
            for _ in range(TURNS):
                with contextlib.suppress(Unanswered):
                    self.try_to_register(EXPIRES, PATIENCE_S)
                    return
                self.turn()
            raise Refused("neither server answers")

    def turn(self) -> None:
        """From now on the other one: from another port, but as the same telephone."""
        self.server, self.other = self.other, self.server
        self.line.close()
        self.line = self.plug_in()


@events.init_command_line_parser.add_listener
def _options(parser: object) -> None:
    parser.add_argument("--picture", default="", help="draw rate, latency and failures here (PNG)")
    parser.add_argument("--sip-second", default="", help="FailoverPair's other server, as --host")
    parser.add_argument("--sip-domain", default="", help="of the users; else the server's host")
    parser.add_argument("--sip-user", default="", help="prefix of users 0, 1, …; else unique names")
    parser.add_argument("--sip-password", default="", help="of all users, for digest")


@events.init.add_listener
def _watch(environment: object, **_: object) -> None:
    path = getattr(environment.parsed_options, "picture", "")
    if not path:
        return
    course, began = Course(), time.monotonic()

    @environment.events.request.add_listener
    def note(response_time: float, exception: object, **_: object) -> None:
        course.note(time.monotonic() - began, response_time, exception is not None)

    @environment.events.quitting.add_listener
    def finish(**_: object) -> None:
        course.close()
        draw(course, Path(path), f"{environment.parsed_options.num_users} telephones")
