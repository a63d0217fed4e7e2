"""Compare the service with peers that a user might have written instead.

Each subject takes signed webhooks of the same making over HTTP, verifies and validates them, publishes each
as a persistent message to one private RabbitMQ and answers 200. Runs are interleaved (A B C A B C ...), each
with a fresh process, an empty virtual host and a warm-up of its own that is not counted. What arrived in the
queue is counted against what was answered 200. A subject that accepts a forged signature is not measured.

The peers answer after the broker's confirm. They do not dedupe, keep no outbox, and lose what they hold when
they die; the processor answers after a durable commit, and pays in these figures for all it promises.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.measure import Options, Run, SubjectError, measure
from tests.bench.report import Report, surroundings
from tests.bench.subjects import SUBJECTS, Subject
from tests.servers.child import ServerError
from tests.servers.rabbitmq import RabbitMQ

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

examples
  python -m tests.bench                                      all subjects, 3 rounds of 6 s each
  python -m tests.bench --only processor --only fastify      two of them, by any part of their names
  python -m tests.bench --duplicates 0.2 --json bench.json   every fifth webhook repeats an earlier one
  python -m tests.bench --rounds 1 --seconds 2               a quick look, too short to quote

The exit status is 1 if something was refused, lost or not persistent, if a subject takes forged webhooks, or
if nothing could be measured. It never depends on speed.
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
    try:
        report = asyncio.run(_compare(_chosen(arguments.only), arguments.rounds, options))
    except (ServerError, SubjectError) as error:
        print(error, file=sys.stderr)
        return 1
    print(report.text())
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report.document(), indent=2) + "\n")
    return 0 if report.sound else 1


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
        help="only subjects whose name contains NAME; repeatable",
    )
    add("--json", type=Path, metavar="FILE", help="write every run's figures to FILE too")
    return parser


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


def _chosen(names: Sequence[str]) -> list[Subject]:
    """Subjects whose names contain one of ``names``, or all; the others are compared with the first."""
    wanted = [name.lower() for name in names]
    chosen = [subject for subject in SUBJECTS if not wanted or any(name in subject.name.lower() for name in wanted)]
    if not chosen:
        known = ", ".join(subject.name for subject in SUBJECTS)
        raise SystemExit(f"no subject is called {' or '.join(names)}; there are: {known}")
    return chosen


async def _compare(chosen: Sequence[Subject], rounds: int, options: Options) -> Report:
    obstacles = {subject.name: subject.obstacle() for subject in chosen}
    able = tuple(subject for subject in chosen if obstacles[subject.name] is None)
    with RabbitMQ() as broker:
        broker_pid = int(broker.ctl("eval", "list_to_integer(os:getpid())."))
        rabbitmq = broker.api("GET", "overview")["rabbitmq_version"]
        runs: dict[str, list[Run]] = {subject.name: [] for subject in able}
        for number in range(1, rounds + 1):
            for subject in able:
                run = await measure(subject, broker, broker_pid, options)
                runs[subject.name].append(run)
                _progress(number, run)
    return Report(
        surroundings=surroundings(able, rabbitmq),
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
