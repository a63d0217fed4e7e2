"""Texts that every database holds, whoever wrote them: an event is not lost over a character."""

import json
import re
from typing import Any, Final

from sqlalchemy import Connection

REPLACEMENT: Final = "\ufffd"
"""Stands for each character that no column holds: PostgreSQL takes no NUL, and no driver half a surrogate pair."""

_unstorable: Final = re.compile("[\x00\ud800-\udfff]")


def replace_unstorable(
    _connection: Connection, _cursor: Any, statement: str, parameters: Any, *_rest: Any
) -> tuple[str, Any]:
    """SQLAlchemy's ``before_cursor_execute``: the statement, with parameters that a database holds."""
    return statement, _storable(parameters)


def storable_json(value: Any) -> str:
    """``value`` as JSON that a database holds."""
    return json.dumps(_storable(value))


def _storable(value: Any) -> Any:
    match value:
        case str():
            return _unstorable.sub(REPLACEMENT, value)
        case dict():
            return {_storable(name): _storable(part) for name, part in value.items()}
        case list():
            return [_storable(part) for part in value]
        case tuple():
            return tuple([_storable(part) for part in value])
        case _:
            return value
