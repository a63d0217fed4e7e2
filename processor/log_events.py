"""Every name that a log line can bear, with its level and what it tells. A test holds it against the code."""

from typing import Final, Literal, NamedTuple

Level = Literal["debug", "info", "warning", "error"]


class LogEvent(NamedTuple):
    """What a line of this name tells."""

    level: Level
    tells: str


LOG_EVENTS: Final[dict[str, LogEvent]] = {
    "library.logged": LogEvent("info", "A library wrote to Python's own logging; the level is the library's."),
    "line.lost": LogEvent("error", "A log line could not be rendered; only its name is told."),
    "process.crashed": LogEvent("error", "An exception that nobody caught ends the process or a thread."),
}
