"""What applications keep at Xumm: one object of each application, and objects by name of each of its users.

Source: https://github.com/XRPL-Labs/XUMM-SDK/tree/main/src/types/Storage and
https://github.com/XRPL-Labs/XUMM-SDK/blob/main/src/types/JwtUserdata.ts
"""

import re
from typing import Any, Final

from processor.sandbox.payload import Application

Json = dict[str, Any]

_KEY: Final = re.compile(r"[a-z0-9]{3,}", re.ASCII)


class AppStorage:
    """The object of each application."""

    def __init__(self) -> None:
        self._kept: dict[str, Json] = {}

    def get(self, application: Application) -> Json:
        """The object, null if there is none."""
        return {**_owner(application), "data": self._kept.get(application.key)}

    def set(self, application: Application, data: Json) -> Json:
        """Keep ``data`` in the place of what was there."""
        self._kept[application.key] = data
        return {**_owner(application), "stored": True, "data": data}

    def delete(self, application: Application) -> Json:
        """Keep nothing."""
        self._kept.pop(application.key, None)
        return {**_owner(application), "stored": True, "data": None}


class UserData:
    """The objects of each user of each application."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Json] = {}

    def list(self, application: Application, account: str) -> Json:
        """The names."""
        keys = list(self._of(application, account))
        return {"operation": "LIST", "keys": keys, "count": len(keys)}

    def get(self, application: Application, account: str, keys: str) -> Json:
        """The objects of these names, which commas part; what there is none of is left out. Raises ``ValueError``."""
        names = [_checked(key) for key in keys.split(",")]
        kept = self._of(application, account)
        data = {name: kept[name] for name in names if name in kept}
        return {"operation": "RETRIEVE", "data": data, "keys": list(data), "count": len(data)}

    def set(self, application: Application, account: str, key: str, data: Json) -> Json:
        """Keep ``data`` under this name. Raises ``ValueError``."""
        self._of(application, account)[_checked(key)] = data
        return {"operation": "PERSIST", "persisted": True}

    def delete(self, application: Application, account: str, key: str) -> Json:
        """Keep nothing under this name. Raises ``ValueError``."""
        found = self._of(application, account).pop(_checked(key), None)
        return {"operation": "REMOVE", "persisted": found is not None}

    def _of(self, application: Application, account: str) -> Json:
        return self._kept.setdefault((application.key, account), {})


def _owner(application: Application) -> Json:
    return {"application": {"name": application.name, "uuidv4": application.key}}


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError("only a-z and 0-9, at least three")
    return key
