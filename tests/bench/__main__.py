"""Compare the service with peers that a user might have written instead.

Each subject takes signed webhooks of the same making over HTTP, verifies and validates them, publishes each
as a persistent message to one private RabbitMQ and answers 200. Runs are interleaved (A B C A B C ...), each
with a fresh process, an empty virtual host and a warm-up of its own that is not counted. What arrived in the
queue is counted against what was answered 200. A subject that accepts a forged signature is not measured.

The peers answer after the broker's confirm. They do not dedupe, keep no outbox, and lose what they hold when
they die; the processor answers after a durable commit, and pays in these figures for all it promises.

After the comparison come qualities that no peer has, measured of the processor alone, a table for each:

  watching    what an open watch costs: memory, CPU to open it, CPU while nothing happens on it
  hearing     from a message on a payload's socket to its event at a consumer
  recovering  until all outcomes are known of which nobody told, within the rate limit of Xumm's API
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.hearing import hearing
from tests.bench.measure import Options, Run, SubjectError, measure
from tests.bench.recovering import recovering
from tests.bench.report import Report, surroundings
from tests.bench.stage import Broker
from tests.bench.subjects import SUBJECTS, Subject
from tests.bench.table import MeasurementError, Sizes, Table
from tests.bench.watching import watching
from tests.servers.child import ServerError
from tests.servers.rabbitmq import RabbitMQ

MEASUREMENTS: Final[Mapping[str, Callable[[Sizes, Broker], Awaitable[Table]]]] = {
    "watching": watching,
    "hearing": hearing,
    "recovering": recovering,
}
"""What is measured of the processor alone."""
_SIZES: Final = Sizes()

_EPILOGUE = """\
reading the table
  webhooks/s      accepted webhooks over the time until the last of them was in the queue
  CPU µs each     user and system time of the service and its children per webhook, relaying included
  broker µs each  the same of RabbitMQ
  load µs each    the same of the load generator
  others %        share of the machine that went to anything else: above some 10, measure again in quiet
  p50, p99        from request to answer while every connection is busy all the time
  RSS             peak of resident memory
  lag s           from the last answer until the last accepted webhook was in the queue
  refused         answered with anything but 200, or not at all; never counted as accepted
  lost            answered 200, and never seen in the queue
  doubled         messages in the queue beyond the first of their payload
  transient       messages in the queue that are not persistent

  Ratios are taken pair by pair within a round, since the machine drifts between rounds; the median stands
  with its extremes. Trust CPU and ratios of CPU first: a subject shares the machine with the broker and the
  load generator, and one that awaits the broker's confirm is only as fast as the broker confirms.

reading the other tables
  watching        is the difference between a service with these watches and one with none. Memory and CPU are
                  the figures; the seconds depend on the machine, and on both sides sharing it
  hearing         holds a commit on the disk of the service and one of the broker: read it beside what fsync takes
  recovering      `least s` is what the token bucket takes for one call for each payload. The ratio holds for any
                  limit: at 60 calls a minute all takes some ten times as long as at 600. A refused call is a defect

examples
  python -m tests.bench                                      all subjects in 3 rounds of 6 s, then the rest
  python -m tests.bench --only processor --only fastify      two of them, by any part of their names
  python -m tests.bench --only watching                      one measurement of the processor, without the comparison
  python -m tests.bench --duplicates 0.2 --json bench.json   every fifth webhook repeats an earlier one
  python -m tests.bench --rounds 1 --seconds 2               a quick look, too short to quote

The exit status is 1 if something was refused, lost or not persistent, if a subject takes forged webhooks, if a
watch was not opened or opened twice, if an event is lost or doubled, if Xumm's API had to refuse a call, or if
nothing could be measured. It never depends on speed.
"""


def main() -> int:
    """Run the benchmark that the command line asks for."""
    arguments = _parser().parse_args()
    options = Options(
        seconds=arguments.seconds,
        count=arguments.count,
        connections=arguments.connections,
        duplicates=arguments.duplicates,
    )
    sizes = Sizes(
        watches=arguments.watches, messages=arguments.messages, lost=arguments.lost, limit=arguments.rate_limit
    )
    subjects, measurements = _chosen(arguments.only)
    try:
        results = asyncio.run(_measure(subjects, arguments.rounds, options, measurements, sizes))
    except (ServerError, SubjectError, MeasurementError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n\n".join(result.text() for result in results))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(_document(results), indent=2) + "\n")
    return 0 if all(result.sound for result in results) else 1


def _document(results: Sequence[Report | Table]) -> dict[str, Any]:
    """The comparison's fields, and one more for each measurement."""
    found: dict[str, Any] = {}
    for result in results:
        found |= {result.name: result.document()} if isinstance(result, Table) else result.document()
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        epilog=_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=_positive, default=3, help="runs of each subject, interleaved (default: 3)")
    add("--seconds", type=float, default=6.0, help="length of a run (default: 6)")
    add("--count", type=_positive, default=200_000, help="most webhooks in a run (default: 200000)")
    add(
        "--connections",
        type=_positive,
        default=64,
        help="keep-alive connections, each with one webhook in flight (default: 64)",
    )
    add(
        "--duplicates",
        type=_share,
        default=0.0,
        help="share of webhooks that repeat an earlier one (default: 0)",
    )
    add(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="only subjects and measurements whose name contains NAME; repeatable",
    )
    _add_sizes(parser)
    add("--json", type=Path, metavar="FILE", help="write every run's figures to FILE too")
    return parser


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    """How large the measurements of the processor alone are."""
    add = parser.add_argument
    add("--watches", type=_positive, default=_SIZES.watches, help="payloads in `watching` (default: 5000)")
    add("--messages", type=_positive, default=_SIZES.messages, help="messages in `hearing` (default: 2000)")
    add("--lost", type=_positive, default=_SIZES.lost, help="payloads in `recovering` (default: 1000)")
    add(
        "--rate-limit",
        type=_positive,
        default=_SIZES.limit,
        metavar="CALLS",
        help="calls to Xumm's API in a minute in `recovering`; the service uses 600 at most (default: 600)",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError("must be at least 0 and below 1")
    return share


def _chosen(names: Sequence[str]) -> tuple[list[Subject], list[str]]:
    """Subjects and measurements whose names contain one of ``names``, or all of them."""
    subjects = [subject for subject in SUBJECTS if _is_named(subject.name, names)]
    measurements = [name for name in MEASUREMENTS if _is_named(name, names)]
    if not subjects and not measurements:
        known = ", ".join([*(subject.name for subject in SUBJECTS), *MEASUREMENTS])
        raise SystemExit(f"nothing is called {' or '.join(names)}; there are: {known}")
    return subjects, measurements


def _is_named(name: str, wanted: Sequence[str]) -> bool:
    return not wanted or any(part.lower() in name.lower() for part in wanted)


async def _measure(
    subjects: Sequence[Subject], rounds: int, options: Options, measurements: Sequence[str], sizes: Sizes
) -> list[Report | Table]:
    """The comparison of ``subjects``, if there are any, and each of ``measurements``."""
    results: list[Report | Table] = []
    with RabbitMQ() as server:
        broker = Broker.of(server)
        if subjects:
            results.append(await _compare(subjects, rounds, options, broker))
        for name in measurements:
            print(f"measuring: {name}", file=sys.stderr)
            results.append(await MEASUREMENTS[name](sizes, broker))
    return results


async def _compare(chosen: Sequence[Subject], rounds: int, options: Options, broker: Broker) -> Report:
    """The first of ``chosen`` with all others."""
    obstacles = {subject.name: subject.obstacle() for subject in chosen}
    able = tuple(subject for subject in chosen if obstacles[subject.name] is None)
    runs: dict[str, list[Run]] = {subject.name: [] for subject in able}
    for number in range(1, rounds + 1):
        for subject in able:
            run = await measure(subject, broker.server, broker.pid, options)
            runs[subject.name].append(run)
            _progress(number, run)
    return Report(
        surroundings=surroundings(able, broker.version),
        options=options,
        subjects=able,
        runs=runs,
        skipped={name: reason for name, reason in obstacles.items() if reason is not None},
    )


def _progress(number: int, run: Run) -> None:
    print(
        f"round {number}: {run.subject}: {run.rate:,.0f}/s, {run.cpu * 1e6:,.0f} µs of CPU each,"
        f" {run.tally.lost} lost, {run.tally.duplicated} doubled",
        file=sys.stderr,
    )


if __name__ == "__main__":
    sys.exit(main())
