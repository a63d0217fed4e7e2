"""The narration of `processor dev` on standard output, made of the log lines that an operator would see."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

Line = Mapping[str, Any]

_WIDTH: Final = 11


def _join(line: Line) -> str:
    return ", ".join(name.removeprefix("xumm.") for name in line["events"])


SENTENCES: Final[dict[str, tuple[str, Callable[[Line], str]]]] = {
    "sandbox.webhook_sent": ("Xumm", lambda line: f"got {line['outcome']} for its webhook, attempt {line['attempt']}"),
    "delivery.accepted": ("service", lambda line: f"webhook verified and stored in {line['ms']} ms: {_join(line)}"),
    "delivery.duplicate": ("service", lambda _: "webhook repeated: nothing new, and nothing published"),
    "delivery.quarantined": ("service", lambda line: f"webhook kept in quarantine: {line['reason']}"),
    "delivery.refused": ("service", lambda line: f"webhook refused with {line['status']}: {line['verdict']}"),
    "payload.advanced": ("service", lambda line: f"looked up and proven: {_join(line)}"),
    "push.logged": ("push", lambda line: f"to {line['device']}: \N{LEFT DOUBLE QUOTATION MARK}{line['title']}. "
                                         f"{line['text']}\N{RIGHT DOUBLE QUOTATION MARK}"),
}  # fmt: skip
"""Log event to its speaker, and to the function that words it."""


class Narration:
    """Prints the narration. It is also a stream into which logging writes JSON lines."""

    def print_title(self, text: str) -> None:
        """Print the title of a chapter."""
        self.print(f"\n\N{BOX DRAWINGS LIGHT HORIZONTAL}\N{BOX DRAWINGS LIGHT HORIZONTAL} {text}")

    def print_sentence(self, speaker: str, text: str) -> None:
        """Print one sentence of ``speaker``."""
        self.print(f"   {speaker:<{_WIDTH}}{text}")

    def write(self, data: bytes) -> None:
        """Print the sentence of one log line. A warning or error that has none is printed as it is."""
        line = json.loads(data)
        sentence = SENTENCES.get(line["event"])
        if sentence is not None:
            speaker, word = sentence
            self.print_sentence(speaker, word(line))
        elif line["level"] in {"warning", "error"}:
            self.print_sentence(line["level"], data.decode().strip())

    def flush(self) -> None:
        """Do nothing: each line is flushed when it is printed."""

    def isatty(self) -> bool:
        """False, so that logging writes JSON."""
        return False

    @staticmethod
    def print(text: str) -> None:
        """Print a line."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
