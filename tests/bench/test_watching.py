from dataclasses import replace

import pytest

from tests.bench.__main__ import MEASUREMENTS, _chosen
from tests.bench.consumption import Usage
from tests.bench.statuses import Census
from tests.bench.table import MeasurementError, Sizes
from tests.bench.watching import Reading, Watching, read, require_files, table

_MANY = Reading(
    opened=Usage(cpu=9.0, memory=180_000, peak_memory=200_000),
    idled=Usage(cpu=12.0, memory=190_000, peak_memory=200_000),
    opening_seconds=4.0,
    idle_seconds=10.0,
    server_cpu=6.0,
    others=0.1,
    census=Census(open=10, payloads=10, connections=10),
)
_NONE = Reading(
    opened=Usage(cpu=2.0, memory=80_000, peak_memory=90_000),
    idled=Usage(cpu=2.5, memory=90_000, peak_memory=90_000),
    opening_seconds=0.0,
    idle_seconds=10.0,
    server_cpu=1.0,
    others=0.2,
    census=Census(open=0, payloads=0, connections=0),
)


def test_watches_cost_what_is_beyond_a_service_without_any() -> None:
    """Memory, CPU to open and CPU while idle are differences between the two runs, and the first two for each watch."""
    expected = Watching(
        count=10,
        memory=10_000.0,
        opening_cpu=0.7,
        opening_seconds=4.0,
        idle_share=pytest.approx(0.25),
        server_cpu=0.5,
        others=0.1,
        census=Census(open=10, payloads=10, connections=10),
    )

    assert expected == Watching.between(_NONE, _MANY, 10)


@pytest.mark.parametrize(
    ("census", "sound"),
    [
        (Census(open=10, payloads=10, connections=10), True),
        (Census(open=9, payloads=10, connections=10), False),
        (Census(open=9, payloads=9, connections=9), False),
        (Census(open=10, payloads=10, connections=11), False),
    ],
)
def test_a_watch_is_opened_once_and_stays_open(census: Census, *, sound: bool) -> None:
    """A socket that is missing, was lost or was opened twice is a defect, however fast the others were."""
    found = replace(Watching.between(_NONE, _MANY, 10), census=census)

    assert sound is table(found, Sizes()).sound
    assert sound is ("NOT SOUND" not in table(found, Sizes()).text())


def test_what_cannot_be_opened_is_not_begun() -> None:
    """More sockets than this machine allows are refused with what to do about it."""
    with pytest.raises(MeasurementError, match="ulimit"):
        require_files(10**9)


async def test_a_few_watches() -> None:
    """The real service opens the socket of each payload that it knows, once."""
    reading = await read(7, Sizes(idle_seconds=0.1, settle_seconds=0.1))

    assert Census(open=7, payloads=7, connections=7) == reading.census
    assert min(reading.opened.cpu, reading.opened.memory, reading.opening_seconds) > 0
    assert reading.idled.cpu >= reading.opened.cpu


def test_measurements_are_asked_for_by_name() -> None:
    """One measurement can be had without the comparison, and a subject without the measurements."""
    everything, all_measurements = _chosen([])

    assert ([], ["watching"]) == _chosen(["Watch"])
    assert (["processor"], []) == ([subject.name for subject in _chosen(["processor"])[0]], _chosen(["processor"])[1])
    assert (len(everything) > 1, list(MEASUREMENTS)) == (True, all_measurements)
    with pytest.raises(SystemExit, match=r"there are: processor, .*recovering"):
        _chosen(["nothing"])
