"""A disk that fails or hangs for one process: faults that strace injects into its system calls."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.child import ServerFailed, ServerNotInstalled, wait_until

_ATTACH_SECONDS = 10.0


@contextmanager
def injected(pid: int, calls: str, fault: str, *, folder: Path) -> Iterator[None]:
    """Each of ``calls`` of a running process meets ``fault`` meanwhile, such as ``error=EIO``."""
    strace = shutil.which("strace")
    if strace is None:
        raise ServerNotInstalled("strace is missing: apt-get install strace")
    told = folder / "strace.log"
    command = [strace, "-f", "-p", str(pid), "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}"]
    with told.open("wb") as log:
        child = subprocess.Popen([*command, "-o", str(folder / "strace.out")], stderr=log)
    try:
        wait_until(
            lambda: b"attached" in told.read_bytes(),
            timeout=_ATTACH_SECONDS,
            otherwise=lambda: ServerFailed(f"strace did not attach: {told.read_text()}"),
        )
        yield
    finally:
        child.send_signal(signal.SIGINT)
        child.wait()
