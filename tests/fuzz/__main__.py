"""Fuzz for as long as wanted: ``python -m tests.fuzz --minutes 60``. Ends with 1 and the input at the first defect."""

import argparse
import secrets
import sys
import time
from itertools import count

from hypothesis import HealthCheck, given, seed, settings

from tests.fuzz.targets import TARGETS, Target

_EXAMPLES = 2_000


def main() -> int:
    """Feed one target after the other, each round with another seed, until the time is over."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long, 60 unless told otherwise")
    parser.add_argument("--seed", type=int, default=None, help="repeats an earlier run")
    parser.add_argument("--only", choices=list(TARGETS), help="one target instead of all")
    options = parser.parse_args()
    first = secrets.randbelow(2**32) if options.seed is None else options.seed
    targets = {name: target for name, target in TARGETS.items() if options.only in {None, name}}
    end = time.monotonic() + 60 * options.minutes
    print(f"seed {first}; {options.minutes:g} minutes of {', '.join(targets)}", flush=True)
    for number in count(first):
        for name, target in targets.items():
            if time.monotonic() > end:
                print(f"no defect in {number - first} rounds")
                return 0
            print(f"round {number - first}, seed {number}: {name}", flush=True)
            _feed(target, number)
    raise AssertionError  # `count` does not end


def _feed(target: Target, number: int) -> None:
    """Raises what the target raised, with the smallest input that makes it do so."""

    @seed(number)
    @settings(max_examples=_EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=target.inputs)
    def feed(data: bytes) -> None:
        target.run(data)

    feed()


if __name__ == "__main__":
    sys.exit(main())
