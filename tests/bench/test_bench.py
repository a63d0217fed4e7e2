import hashlib
import json
import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import aiormq
import pytest
from aiohttp import web

from tests.bench.arrivals import Arrivals, Found, NoExchangeError, Tally, tally
from tests.bench.consumption import Machine, machine, own_cpu, usage
from tests.bench.figures import Spread, markdown, percentile, ratios
from tests.bench.measure import Options, SubjectError, measure, refuses_forgery
from tests.bench.service import Service, ServiceError, complete
from tests.bench.subjects import SUBJECTS, Placement, Subject
from tests.bench.tiny import API_KEY, API_SECRET, TAG, plan, serving
from tests.bench.webhooks import payload_uuid
from tests.servers.rabbitmq import RabbitMQ


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, 0.0),
        ([7.0], 99, 7.0),
        ([1.0, 2.0, 3.0, 4.0], 50, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 51, 3.0),
        ([float(value) for value in range(1, 101)], 99, 99.0),
        ([float(value) for value in range(1, 1001)], 100, 1000.0),
    ],
)
def test_percentiles_by_nearest_rank(values: list[float], percent: float, expected: float) -> None:
    """A percentile is a value that was really seen: the smallest with so many percent at or below it."""
    assert expected == percentile(values, percent)


def test_ratios_are_taken_pair_by_pair() -> None:
    """Drift that both halves of a pair share cancels; the extremes are those of the pairs."""
    assert Spread(middle=2.0, low=2.0, high=2.5) == ratios([20.0, 40.0, 25.0], [10.0, 20.0, 10.0])
    assert ratios([1.0], [0.0]) is None


def test_lost_and_doubled_are_told_apart() -> None:
    """Lost: accepted and never seen. Doubled: seen again. One makes no amends for the other."""
    found = Found(payloads=Counter({"a": 1, "b": 3, "unasked": 1}), transient=1)

    assert Tally(arrived=5, lost=2, duplicated=2, transient=1) == tally(found, {"a", "b", "c", "d"})


def test_the_table() -> None:
    """A table is Markdown with aligned columns."""
    expected = "| name | per s |\n| ---- | ----: |\n| a    | 1,000 |\n| bcde |     2 |"

    assert expected == markdown(["name", "per s"], [["a", "1,000"], ["bcde", "2"]])


def test_usage_of_this_process() -> None:
    """A process that computed has used CPU, and one that holds memory shows it."""
    before = usage(os.getpid())
    held = bytearray(os.urandom(1)) * 50_000_000
    while (after := usage(os.getpid())).cpu < before.cpu + 0.02:
        hashlib.sha256(held[:100_000]).digest()

    assert after.peak_memory > len(held)


def test_what_others_took_of_the_machine() -> None:
    """What was busy and is nobody's here went to others; idle time went to none."""
    before, after = Machine(busy=10, capacity=100), Machine(busy=16, capacity=120)

    assert pytest.approx(0.1) == after.others(before, own=4)
    assert after.others(before, own=7) == 0.0


def test_the_books_of_the_machine() -> None:
    """Idling and waiting for a disk is not busy; interrupts and what a hypervisor took are."""
    ticks = os.sysconf("SC_CLK_TCK")
    times = " ".join(str(seconds * ticks) for seconds in (1, 2, 4, 1000, 2000, 8, 16, 32, 64, 128))

    assert Machine(busy=63, capacity=3063) == Machine.parse(f"cpu  {times}\ncpu0 {times}\n")


def test_own_cpu_shows_in_the_books_of_the_machine() -> None:
    """CPU spent here is booked here and for the machine."""
    machine_before, own_before = machine(), own_cpu()
    while own_cpu() < own_before + 0.1:
        hashlib.sha256(bytes(100_000)).digest()

    assert machine().busy - machine_before.busy > 0.05


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_every_subject_can_be_configured(subject: Subject, tmp_path: Path) -> None:
    """Each placeholder of a subject's environment is one that a run fills in."""
    placement = Placement(
        port=8080,
        amqp_url="amqp://broker",
        management_url="http://broker",
        api_key=API_KEY,
        api_secret=API_SECRET,
        directory=tmp_path,
    )
    environment = subject.environment_at(placement)

    assert {"8080", "amqp://broker", API_SECRET} <= set(environment.values())


async def test_a_service_that_does_not_verify_is_not_measured() -> None:
    """A service that answers 200 to a forged signature does another job; one that refuses it does ours."""
    status = 401

    async def receive(request: web.Request) -> web.Response:
        return web.Response(status=status)

    async with serving(receive) as port:
        await refuses_forgery(plan(port, count=1))
        status = 200
        with pytest.raises(ServiceError, match="forged"):
            await refuses_forgery(plan(port, count=1))


async def test_a_preparation_that_fails_says_why(tmp_path: Path) -> None:
    """A subject that cannot be prepared is not started, and its own words say what is wrong."""
    await complete([sys.executable, "-c", "pass"], {}, cwd=tmp_path)

    with pytest.raises(ServiceError, match="ended with 1: no broker"):
        await complete([sys.executable, "-c", "raise SystemExit('no broker')"], {}, cwd=tmp_path)


async def test_a_service_that_dies_says_why(tmp_path: Path) -> None:
    """A service that ends before it is ready is reported with what it printed, not waited for."""
    command = [sys.executable, "-c", "raise SystemExit('bad settings')"]
    service = Service(command, {}, cwd=tmp_path, log=tmp_path / "log", ready_url="http://127.0.0.1:9/")

    with pytest.raises(ServiceError, match="not running: bad settings"):
        await service.__aenter__()


@pytest.mark.rabbitmq
async def test_a_missing_exchange_is_named(amqp_url: str) -> None:
    """Where the subject's exchange does not exist, the counting queue says which it is."""
    with pytest.raises(NoExchangeError, match="the exchange events"):
        await Arrivals(amqp_url, queue="count", exchange="events", binding="#").__aenter__()


@pytest.mark.rabbitmq
async def test_arrivals_are_counted_by_payload_and_durability(amqp_url: str) -> None:
    """Messages of the batch are counted by payload wherever its uuid stands; others are passed over."""
    first, second = payload_uuid(TAG, 1), payload_uuid(TAG, 2)
    bodies = [f'{{"subject":"{first}"}}', f'{{"id":"{first}"}}', second, payload_uuid("0badcafe", 1)]
    connection = await aiormq.connect(amqp_url)
    channel = await connection.channel()
    await channel.exchange_declare("events", exchange_type="topic", durable=True)
    async with Arrivals(amqp_url, queue="count", exchange="events", binding="*.sign.signed") as arrivals:
        for mode, body in zip((2, 2, 1, 2), bodies, strict=True):
            properties = aiormq.spec.Basic.Properties(delivery_mode=mode)
            await channel.basic_publish(
                body.encode(), exchange="events", routing_key="a.sign.signed", properties=properties
            )
        lag = await arrivals.lag(4, since=0.0, patience=5)
        found = await arrivals.take(TAG)
        left = await arrivals.count()
    await connection.close()
    expected = Found(payloads=Counter({first: 2, second: 1}), transient=1)

    assert expected == found
    assert lag == 0.0
    assert left == 0


@pytest.mark.rabbitmq
async def test_a_subject_that_cannot_be_measured_is_named(rabbitmq: RabbitMQ) -> None:
    """What goes wrong with a subject is told with its name."""
    rabbitmq.heal()
    broken = replace(SUBJECTS[1], name="broken", command=(sys.executable, "-c", "raise SystemExit('oh')"))

    with pytest.raises(SubjectError, match="broken: not running: oh"):
        await measure(broken, rabbitmq, os.getpid(), Options())


@pytest.mark.rabbitmq
async def test_a_peer_is_measured(rabbitmq: RabbitMQ) -> None:
    """A short run of a real peer on a real broker is sound, and its figures are filled in."""
    rabbitmq.heal()
    peer = next(subject for subject in SUBJECTS if subject.name == "aiohttp + aio-pika")
    if (obstacle := peer.obstacle()) is not None:
        pytest.skip(obstacle)
    options = Options(seconds=10, warm_up=0.1, count=300, connections=8, duplicates=0.1)
    shown = await measure(peer, rabbitmq, os.getpid(), options)

    expected = (True, 300, 300)

    assert expected == (shown.sound, shown.accepted, shown.tally.arrived)
    assert shown.tally.duplicated == 30
    assert min(shown.rate, shown.cpu, shown.p50, shown.p99, shown.memory) > 0


def test_the_lock_file_names_no_registry() -> None:
    """The Node peer's lock file pins by version and hash, and leaves the registry to the machine."""
    package = next(subject.node_package for subject in SUBJECTS if subject.node_package)
    locked = json.loads((package / "package-lock.json").read_text())["packages"]
    fetched = {name: entry for name, entry in locked.items() if name}

    assert all("resolved" not in entry and "integrity" in entry for entry in fetched.values())
