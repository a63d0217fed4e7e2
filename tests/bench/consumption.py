"""CPU and memory, as /proc tells: of one service, of the broker, of the machine as a whole."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a process and its descendants have used up so far."""

    cpu: float
    """Seconds, user and system, of all threads."""
    memory: int
    """Bytes of resident memory."""
    peak_memory: int
    """Bytes: the sum of the peaks of resident memory."""


def usage(pid: int) -> Usage:
    """Read /proc. Raises ``FileNotFoundError`` if the process is gone."""
    cpu, memory, peak_memory = 0.0, 0, 0
    for member in _family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        cpu += sum(int(ticks) for ticks in fields[11:15]) / _TICKS
        memory += _resident(member, "VmRSS:")
        peak_memory += _resident(member, "VmHWM:")
    return Usage(cpu=cpu, memory=memory, peak_memory=peak_memory)


def _family(pid: int) -> list[int]:
    family = [pid]
    for member in family:
        for thread in Path(f"/proc/{member}/task").iterdir():
            family += [int(child) for child in (thread / "children").read_text().split()]
    return family


def _resident(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """CPU seconds of the whole machine since it started."""

    busy: float
    capacity: float

    @classmethod
    def parse(cls, stat: str) -> Self:
        """Read the text of /proc/stat. What a hypervisor gave to others counts as busy."""
        fields = stat.split("\n", 1)[0].split()[1:9]
        user, nice, system, idle, waiting, *interrupts = (int(ticks) / _TICKS for ticks in fields)
        busy = user + nice + system + sum(interrupts)
        return cls(busy=busy, capacity=busy + idle + waiting)

    def others(self, since: Self, own: float) -> float:
        """The share of the machine that went, after ``since``, to other things than ``own`` CPU seconds."""
        return max(0.0, self.busy - since.busy - own) / max(1 / _TICKS, self.capacity - since.capacity)


def machine() -> Machine:
    """The machine's books as they stand."""
    return Machine.parse(Path("/proc/stat").read_text())


def own_cpu() -> float:
    """CPU seconds of this process and of the children that it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumption:
    """What a run cost."""

    cpu: float
    """Seconds of the service."""
    broker_cpu: float
    """Seconds of the broker."""
    others: float
    """Share of the machine that went to anything but service, broker and benchmark."""
    peak_memory: int
    """Bytes of the service."""


class Meter:
    """Counts from its creation on."""

    def __init__(self, *, service: int, broker: int) -> None:
        """The process ids of both. Raises ``FileNotFoundError`` if one is gone."""
        self._pids = (service, broker)
        self._before = (usage(service), usage(broker), own_cpu(), machine())

    def read(self) -> Consumption:
        """What has been consumed so far. Raises ``FileNotFoundError`` if a process is gone."""
        service_before, broker_before, own_before, machine_before = self._before
        service, broker = (usage(pid) for pid in self._pids)
        cpu, broker_cpu = service.cpu - service_before.cpu, broker.cpu - broker_before.cpu
        return Consumption(
            cpu=cpu,
            broker_cpu=broker_cpu,
            others=machine().others(machine_before, cpu + broker_cpu + own_cpu() - own_before),
            peak_memory=service.peak_memory,
        )
