import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.store import outbox, payloads
from processor.store.store import Store
from tests.store.samples import APP

ROOT = Path(__file__).parents[2]


def command(child: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"tests.store.children.{child}", *map(str, arguments)]


@pytest.mark.parametrize("at", [1, 200, 900])
def test_killed_while_committing(tmp_path: Path, at: int) -> None:
    """Whenever the process is killed, each acknowledged webhook is stored, and its event is in the outbox."""
    url = f"sqlite:///{tmp_path}/s.db"
    child = subprocess.Popen(command("acknowledge", url, 50, 100_000), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    acknowledged = [child.stdout.readline() for _ in range(at)]
    child.send_signal(signal.SIGKILL)
    acknowledged += child.stdout.readlines()
    child.wait()
    child.stdout.close()
    told = {line.split()[1] for line in acknowledged if line.endswith("\n")}
    with Store.open(url) as store:
        in_outbox = {queued.message.payload for queued in store.run(outbox.read, 1_000_000)}
        known = {payload for payload in in_outbox if store.run(payloads.find, APP, payload) is not None}

    assert len(told) >= at
    assert told - in_outbox == set()
    assert in_outbox - known == set()


def test_synced_before_acknowledged(tmp_path: Path) -> None:
    """What the write-ahead log got is on the disk before the webhook is acknowledged."""
    story = traced(tmp_path)

    assert re.fullmatch(r"[WS]*(W+SA){5}[WS]*", story), story


def test_failing_disk(tmp_path: Path) -> None:
    """What the disk fails to take is not acknowledged."""
    story = traced(tmp_path, "-e", "inject=fsync,fdatasync:error=EIO:when=11+")

    assert re.fullmatch(r"[WS]*(W+SA){1,4}W+", story), story


def traced(directory: Path, *options: str) -> str:
    """What a process that acknowledges five webhooks one by one did, as `_steps`."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.fail("strace is missing: apt-get install strace", pytrace=False)
    trace = directory / "trace"
    url = f"sqlite:///{directory}/s.db"
    calls = "trace=write,pwrite64,fsync,fdatasync"
    subprocess.run(
        [strace, "-f", "-y", "-e", calls, *options, "-o", trace, *command("acknowledge", url, 1, 5)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return "".join(_steps(trace.read_text(errors="replace").splitlines()))


def _steps(lines: list[str]) -> Iterator[str]:
    """W: the log of the database was written; S: synced, from the end of the call on; A: acknowledged."""
    syncing = set()
    for line in lines:
        pid, call = line.split(maxsplit=1)
        if call.startswith("pwrite") and "-wal>" in call:
            yield "W"
        elif "sync(" in call and "-wal>" in call:
            if "unfinished" in call:
                syncing.add(pid)
            elif call.endswith("= 0"):
                yield "S"
        elif "sync resumed" in call and pid in syncing and call.endswith("= 0"):
            syncing.remove(pid)
            yield "S"
        elif call.startswith("write(1<") and '"acknowledged' in call:
            yield "A"


def test_disk_full(tmp_path: Path) -> None:
    """A full disk fails what cannot be stored, and nothing else: when there is room again all goes on."""
    done = subprocess.run(
        command("full_disk", tmp_path / "s.db"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    error, *facts = done.stderr.splitlines()

    assert error in {"disk I/O error", "database or disk is full"}
    assert facts == ["failed later than the first: True", "stored: True"]
