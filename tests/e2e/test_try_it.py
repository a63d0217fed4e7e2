"""The demo of the READMEs: ``processor dev``, and a webhook made by hand."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.dev.composition import SERVICE_PORT
from tests.consumers.broker import until
from tests.e2e.program import ROOT, Program, python, run
from tests.servers.child import free_port

STORY = (
    r"── 1\. A user signs in",
    r"webhook verified and stored in [\d.]+ ms: sign\.signed, sign\.token_issued",
    r"looked up and proven: resolve\.signed",
    r"app state +signed in: r\w+",
    r"── 2\. The user pays 10 XRP",
    r"looked up and proven: resolve\.validated",
    r"app state +received 10 XRP for order-42 on MAINNET",
    r"push +to …\w+: ",
)
"""What ``dev`` tells of the walk. The consumers work side by side, so no order of their lines is asked for."""
HINTS = "Everything keeps running"
BLOCK = re.compile(r"^```sh\n((?:(?!```).)*?openssl dgst -sha1 -hmac.*?)^```$", re.MULTILINE | re.DOTALL)


class Demo(Program):
    """``processor dev`` on ports of its own; ready once its walk is over."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        super().__init__(python("processor", "dev", "--port", str(port), "--sandbox-port", "0"), folder, {})
        self.address = f"127.0.0.1:{port}"

    def ready(self) -> bool:
        """Whether it has told its story."""
        return HINTS in self.output


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Not started yet."""
    demo = Demo(tmp_path / "demo")
    yield demo
    demo.close()


async def test_dev_tells_its_story_stays_and_ends(demo: Demo) -> None:
    """It walks a sign-in and a payment through, keeps serving until Ctrl-C, and then ends without a complaint."""
    await demo.start()
    untold = [sentence for sentence in STORY if not re.search(sentence, demo.output)]
    triggered = await run(
        python("processor", "trigger", "signed", "--url", f"http://{demo.address}/webhooks/demo"), demo.folder, {}
    )

    code = await demo.stop(signal.SIGINT)

    assert (untold, triggered.code, code) == ([], 0, 0)
    assert "Traceback" not in demo.output
    assert demo.output.rstrip().endswith("the databases of this run are gone.")


async def test_the_webhook_by_hand_is_accepted(demo: Demo) -> None:
    """The openssl and curl of the sandbox's README, as they stand there, make a webhook that the demo accepts."""
    blocks = BLOCK.findall((ROOT / "processor" / "sandbox" / "README.md").read_text())
    assert len(blocks) == 1, "the page should show how to sign a webhook with openssl, once"
    await demo.start()

    done = await run(
        ["bash", "-e", "-c", blocks[0].replace(f"127.0.0.1:{SERVICE_PORT}", demo.address)], demo.folder, {}
    )

    assert "accepted" in done.out, done
    await until(lambda: "delivery.accepted" in demo.output)
