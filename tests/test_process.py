"""What the service asks of its process."""

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HANGS = """
import asyncio, threading
from datetime import timedelta
from processor.process import stop_on_signals

async def main():
    stop = stop_on_signals(timedelta(seconds=0.2))
    print("ready", flush=True)
    await stop.wait()
    asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)

asyncio.run(main())
"""
"""A program that would wait for a thread for ever before it ends."""


def test_what_hangs_is_left() -> None:
    """A process that was asked to end does so in time, whatever one of its threads waits for."""
    child = subprocess.Popen([sys.executable, "-c", HANGS], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    told, _ = child.communicate(timeout=30)

    assert child.returncode == 1
    assert "service.stop_forced" in told
