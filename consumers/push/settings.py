"""The settings of the consumer that pushes: its texts, and what each provider needs."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, HttpUrl, field_validator
from yarl import URL

from consumers.runtime.settings import ConsumerSettings
from processor.settings.value_types import Duration, split
from schemas.devices import PRIVATE_DOMAINS

PUSH_CHANNELS: Final = frozenset({"log", "fcm", "apns", "webpush"})
WEB_PUSH_SERVICES: Final = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.notify.windows.com",
    "*.push.apple.com",
)
"""Those of Chrome, Firefox, Edge and Safari."""
_SERVICE: Final = re.compile(r"(\*\.)?([a-z0-9-]+\.)+[a-z][a-z0-9-]*")


class PushSettings(ConsumerSettings):
    """What an operator can set for the consumer that pushes."""

    push_channel: str = "log"
    """``fcm`` (Firebase Cloud Messaging), ``apns`` (Apple) and ``webpush`` (browsers), several with commas; ``log``
    logs each message instead of pushing it."""
    push_language: Annotated[str, Field(pattern=r"^[a-z]{2}$")] = "en"
    """For devices without a language, or with one that has no texts."""
    push_reference: bool = False
    """Whether texts end with the application's own identifier of the sign request (``custom_meta.identifier``)."""
    push_timeout: Annotated[Duration, Field(le=timedelta(seconds=60))] = timedelta(seconds=10)
    """How long a provider may take to answer."""
    fcm_credentials: Path | None = None
    """Service account key file of the Firebase project. Needed for ``fcm``."""
    fcm_project: str | None = None
    """Firebase project id; by default the one in the key file."""
    fcm_url: HttpUrl = HttpUrl("https://fcm.googleapis.com")
    """FCM's API."""
    apns_key: Path | None = None
    """Apple's ``.p8`` file with the key for APNs. Needed for ``apns``, with the next three."""
    apns_key_id: Annotated[str, Field(pattern=r"^[A-Z0-9]{10}$")] | None = None
    """The id of the key: ten characters."""
    apns_team_id: Annotated[str, Field(pattern=r"^[A-Z0-9]{10}$")] | None = None
    """The id of the developer team: ten characters."""
    apns_topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,255}$")] | None = None
    """The app's bundle id."""
    apns_url: HttpUrl = HttpUrl("https://api.push.apple.com")
    """``https://api.sandbox.push.apple.com`` for builds that Xcode installs: each knows only its own device tokens."""
    webpush_key: Path | None = None
    """PEM file of the private key (P-256) that browsers subscribe to. Needed for ``webpush``, with the next one."""
    webpush_contact: Annotated[str, Field(pattern=r"^(mailto:[^\s@]+@[^\s@]+|https://\S+)$")] | None = None
    """``mailto:`` or ``https:`` address at which push services reach the operator; Apple refuses local hosts."""
    webpush_services: str = ",".join(WEB_PUSH_SERVICES)
    """Hosts that subscriptions may be on, with commas; ``*.name`` for all below a name."""

    @field_validator("push_channel")
    @classmethod
    def _check_channels(cls, value: str) -> str:
        names = split(value)
        if not names or not PUSH_CHANNELS.issuperset(names):
            raise ValueError(f"give one or several of {', '.join(sorted(PUSH_CHANNELS))}, with commas")
        return value

    @field_validator("webpush_contact")
    @classmethod
    def _check_contact(cls, value: str | None) -> str | None:
        if value is not None and not _is_public(value):
            raise ValueError("name a public host: Apple refuses every message of a contact at localhost and the like")
        return value

    @field_validator("webpush_services")
    @classmethod
    def _check_services(cls, value: str) -> str:
        names = split(value)
        if not names or not all(_SERVICE.fullmatch(name) for name in names):
            raise ValueError("give names of hosts, or *.name, with commas")
        return value

    @property
    def push_channels(self) -> tuple[str, ...]:
        """The names of the channels that are switched on."""
        return tuple(split(self.push_channel))

    @property
    def push_services(self) -> tuple[str, ...]:
        """The hosts that Web Push subscriptions may be on."""
        return tuple(split(self.webpush_services))


def _is_public(contact: str) -> bool:
    """Whether the host of a ``mailto:`` or ``https:`` address may be one that others can reach."""
    try:
        host = URL(contact).host if contact.startswith("https:") else contact.partition("?")[0].rpartition("@")[2]
    except ValueError:
        return False
    labels = (host or "").strip("[]").lower().rstrip(".").split(".")
    return len(labels) > 1 and labels[-1] not in PRIVATE_DOMAINS - {"example"} and not labels[-1].isdecimal()
