"""The storage of applications at Xumm: one object of each application, and named objects of each of its users.

Source: https://github.com/XRPL-Labs/XUMM-SDK/tree/main/src/types/Storage and
https://github.com/XRPL-Labs/XUMM-SDK/blob/main/src/types/JwtUserdata.ts
"""

import re
from typing import Final

from processor.sandbox.javascript import JsonObject
from processor.sandbox.payload import Application

_KEY: Final = re.compile(r"[a-z0-9]{3,}", re.ASCII)


class AppStorage:
    """One object of each application. Each method returns the answer of the API."""

    def __init__(self) -> None:
        self._objects: dict[str, JsonObject] = {}

    def get(self, application: Application) -> JsonObject:
        """The object; null if none is stored."""
        return {**_owner(application), "data": self._objects.get(application.key)}

    def set(self, application: Application, data: JsonObject) -> JsonObject:
        """Replace the object by ``data``."""
        self._objects[application.key] = data
        return {**_owner(application), "stored": True, "data": data}

    def delete(self, application: Application) -> JsonObject:
        """Delete the object."""
        self._objects.pop(application.key, None)
        return {**_owner(application), "stored": True, "data": None}


class UserStorage:
    """The named objects of each user of each application. Each method returns the answer of the API."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], JsonObject] = {}

    def list(self, application: Application, account: str) -> JsonObject:
        """The names of the user's objects."""
        keys = list(self._of(application, account))
        return {"operation": "LIST", "keys": keys, "count": len(keys)}

    def get(self, application: Application, account: str, keys: str) -> JsonObject:
        """The objects of the names in ``keys``, separated by commas; those not stored are left out.

        Raises ``ValueError`` for a name that is not allowed.
        """
        names = [_check(key) for key in keys.split(",")]
        kept = self._of(application, account)
        data = {name: kept[name] for name in names if name in kept}
        return {"operation": "RETRIEVE", "data": data, "keys": list(data), "count": len(data)}

    def set(self, application: Application, account: str, key: str, data: JsonObject) -> JsonObject:
        """Store ``data`` under the name ``key``. Raises ``ValueError`` for a name that is not allowed."""
        self._of(application, account)[_check(key)] = data
        return {"operation": "PERSIST", "persisted": True}

    def delete(self, application: Application, account: str, key: str) -> JsonObject:
        """Delete the object ``key``. Raises ``ValueError`` for a name that is not allowed."""
        found = self._of(application, account).pop(_check(key), None)
        return {"operation": "REMOVE", "persisted": found is not None}

    def _of(self, application: Application, account: str) -> JsonObject:
        return self._objects.setdefault((application.key, account), {})


def _owner(application: Application) -> JsonObject:
    return {"application": {"name": application.name, "uuidv4": application.key}}


def _check(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError("only a-z and 0-9, at least three")
    return key
