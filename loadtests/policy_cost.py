"""What the default policy costs per message: the same decisions with the script and without it.

    python -m loadtests.policy_cost

One core without sockets takes the same requests twice: once with conf/routing.py, once with what
the script ends with and nothing else: no question, no coroutine. The difference is the policy's.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from pathlib import Path

from tests.scenarios.telephone import Telephone
from workers.policy import Script, load_policy
from workers.rehearsal import Rehearsal, address

BAR_US = 2.5
MESSAGES = 5_000
ROUNDS = 15
SCRIPT = Path(__file__).resolve().parent.parent / "conf" / "routing.py"


#: In the place of a coroutine that has come to its end; going on with it runs no Python.
DONE = iter(())


class Bare:
    """What is left when the policy is taken away: the call that it ends with."""

    KINDS = ("OPTIONS", "REGISTER", "INVITE")

    def __init__(self, folder: Path, kind: str, with_policy: bool) -> None:
        self.kind = kind
        script = load_policy(SCRIPT) if with_policy else Script(self.decide)  # type: ignore[arg-type]
        self.world = Rehearsal(folder, script, capacity=10 * MESSAGES)
        self.phone = Telephone("alice", address("192.0.2.1:5060"))
        self.bob = Telephone("bob", address("192.0.2.2:5060"))

    def decide(self, request):  # type: ignore[no-untyped-def]
        """The end of what conf/routing.py does with such a request, and nothing before it."""
        method = request.method
        if method == "OPTIONS":
            request.reply(200)
        elif method == "REGISTER":
            request.save()
        else:
            request.record_route()
            request.relay(request.lookup())
        return DONE

    def request(self) -> bytes:
        """One request of the kind."""
        if self.kind == "OPTIONS":
            return self.phone.request("OPTIONS", "sip:example.com")
        if self.kind == "REGISTER":
            return self.phone.register(call_id="reg-alice")
        return self.phone.request("INVITE", "sip:bob@example.com")

    def microseconds(self) -> float:
        """Per message, of one round."""
        self.world.deliver(self.bob.register(), self.bob.at)  # time passes between rounds
        data = [self.request() for _ in range(MESSAGES)]
        receive, source = self.world.core.receive, self.phone.at
        began = time.process_time()
        for each in data:
            receive(each, source, 0)
        took = time.process_time() - began
        self.world.layer.outbox.clear()
        self.world.wait(400)
        return took / MESSAGES * 1e6


def cost(kind: str) -> tuple[float, float]:
    """Microseconds per message, without the policy and with it: the best of many rounds."""
    with tempfile.TemporaryDirectory() as folder:
        pair = []
        for with_policy in (False, True):
            place = Path(folder) / str(with_policy)
            place.mkdir()
            pair.append(Bare(place, kind, with_policy))
        gc.disable()
        best = [float("inf"), float("inf")]
        for _ in range(ROUNDS):
            for number, bare in enumerate(pair):
                best[number] = min(best[number], bare.microseconds())
        gc.enable()
    return best[0], best[1]


def main() -> int:
    """Print a line for each kind of request; 1 when the policy costs more than it may."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    worst = 0.0
    print(f"{'request':10} {'without':>9} {'with':>9} {'policy':>9}   µs per message")
    for kind in Bare.KINDS:
        without, with_policy = cost(kind)
        share = with_policy - without
        worst = max(worst, share)
        print(f"{kind:10} {without:9.2f} {with_policy:9.2f} {share:9.2f}")
    print(f"at most {worst:.2f} of {BAR_US} µs")
    return int(worst > BAR_US)


if __name__ == "__main__":
    raise SystemExit(main())
