"""What happens, told while it happens: the story is made of the very log lines that an operator would see."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

Line = Mapping[str, Any]

_WIDTH: Final = 11


def _events(line: Line) -> str:
    return ", ".join(name.removeprefix("xumm.") for name in line["events"])


TELLERS: Final[dict[str, tuple[str, Callable[[Line], str]]]] = {
    "sandbox.webhook_sent": ("Xumm", lambda line: f"got {line['outcome']} for its webhook, attempt {line['attempt']}"),
    "delivery.accepted": ("service", lambda line: f"webhook verified and stored in {line['ms']} ms: {_events(line)}"),
    "delivery.duplicate": ("service", lambda _: "webhook repeated: nothing new, and nothing published"),
    "delivery.quarantined": ("service", lambda line: f"webhook kept in quarantine: {line['reason']}"),
    "delivery.refused": ("service", lambda line: f"webhook refused with {line['status']}: {line['verdict']}"),
    "payload.advanced": ("service", lambda line: f"looked up and proven: {_events(line)}"),
    "push.logged": ("push", lambda line: f"to {line['device']}: \N{LEFT DOUBLE QUOTATION MARK}{line['title']}. "
                                         f"{line['text']}\N{RIGHT DOUBLE QUOTATION MARK}"),
}  # fmt: skip
"""Log event to who speaks, and what is said."""


class Story:
    """Prints the story. Also a stream for the logging to write JSON lines into."""

    def title(self, text: str) -> None:
        """A chapter begins."""
        self._print(f"\n\N{BOX DRAWINGS LIGHT HORIZONTAL}\N{BOX DRAWINGS LIGHT HORIZONTAL} {text}")

    def tell(self, who: str, text: str) -> None:
        """One sentence."""
        self._print(f"   {who:<{_WIDTH}}{text}")

    def say(self, text: str = "") -> None:
        """Anything else."""
        self._print(text)

    def write(self, data: bytes) -> None:
        """Tell what one log line means. Warnings and errors that have no teller are shown as they are."""
        line = json.loads(data)
        teller = TELLERS.get(line["event"])
        if teller is not None:
            who, words = teller
            self.tell(who, words(line))
        elif line["level"] in {"warning", "error"}:
            self.tell(line["level"], data.decode().strip())

    def flush(self) -> None:
        """As a stream must."""

    def isatty(self) -> bool:
        """Never: the story wants JSON."""
        return False

    @staticmethod
    def _print(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
