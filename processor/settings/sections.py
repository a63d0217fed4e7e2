"""The groups of settings, each a table of the TOML file."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from processor.core.sign_request.return_url import fault_of, link_fault_of
from processor.settings.value_types import Duration, Networks, Origins, split


class Section(BaseModel):
    """Base of the groups."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


def _refuse_faults(fault_of: Callable[[str], str | None]) -> AfterValidator:
    def checked(text: str) -> str:
        fault = fault_of(text)
        if fault is not None:
            raise ValueError(fault)
        return text

    return AfterValidator(checked)


ReturnUrls = Annotated[tuple[Annotated[str, _refuse_faults(fault_of)], ...], BeforeValidator(split)]
DeepLinks = Annotated[tuple[Annotated[str, _refuse_faults(link_fault_of)], ...], BeforeValidator(split)]


Percent = Annotated[int, Field(ge=1, le=100)]


class RetentionSettings(Section):
    """How long the store keeps finished work."""

    events: Duration = timedelta(days=7)
    """Published events, from the time of their report."""
    deliveries: Duration = timedelta(days=30)
    """The delivery log, the sources of outcomes, and sign requests with their idempotency keys."""
    delivery_rows: Annotated[int, Field(ge=1000)] = 1_000_000
    """The greatest number of rows in the delivery log, of any age."""


class WatchingSettings(Section):
    """Watching payloads over their sockets, which reports outcomes whose webhook never comes."""

    enabled: bool = True
    """Whether sockets are opened. Without them, a payload without a webhook is looked up only when it expires."""
    max_watches: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """Sockets that are open at once; further payloads wait. Half are divided equally among the applications,
    the rest is first come, first served."""
    handshakes: Annotated[int, Field(ge=1, le=1000)] = 50
    """Sockets that are being opened at once, divided in the same way."""


class ApiSettings(Section):
    """The HTTP interface for apps and services."""

    session_ttl: Duration = timedelta(hours=24)
    """How long a user stays signed in."""
    calls_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 60
    """Calls of one user, or of one address that has not signed in."""
    service_calls_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 1_200
    """Calls of one service's key, which stands for many users."""
    requests_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 30
    """Sign-ins, and sign requests created or cancelled, of one application. Xumm allows about 30."""
    share_of_users: Percent = 67
    """Percent of ``requests_per_minute`` that users may have, sign-ins included; the rest is for services."""
    share_of_strangers: Percent = 33
    """Percent of ``requests_per_minute`` that sign-ins may have, which anybody may begin."""
    share_of_one: Percent = 20
    """Percent of ``requests_per_minute`` that one user may have, or the sign-ins of one address."""
    trusted_proxies: Networks = ()
    """Addresses of the proxies before this service, or networks such as 10.0.0.0/8: ``X-Forwarded-For`` is believed of
    them alone. Without any, clients that have not signed in are counted by the address that connects."""
    streams: Annotated[int, Field(ge=1, le=1000)] = 8
    """Event streams that one caller may have open."""
    allowed_origins: Origins = ()
    """Origins of web pages that may call this interface from a browser (CORS), besides its own."""


class TopologySettings(Section):
    """The limits of RabbitMQ's objects. All are policies: `processor topology apply` changes them in place."""

    queue_max_length: Annotated[int, Field(ge=1)] = 1_000_000
    """Messages in a consumer's queue; beyond, the broker refuses events, which wait in the outbox."""
    delivery_limit: Annotated[int, Field(ge=1)] = 1000
    """Returns of one message by consumers that crash or lose their connection, before it is dead-lettered."""
    dead_max_length: Annotated[int, Field(ge=1)] = 100_000
    """Dead letters of one queue."""
    dead_ttl: Duration = timedelta(days=30)
    """How long dead letters are kept."""
    unrouted_max_length: Annotated[int, Field(ge=1)] = 100_000
    """Events that no queue is bound for; beyond, the oldest are dropped."""
    unrouted_ttl: Duration = timedelta(days=7)
    """How long unrouted events are kept."""
    log: bool = True
    """Whether a stream keeps every event for replay. If so, no event is unrouted."""
    log_max_age: Duration = timedelta(days=7)
    """How long the stream keeps events."""
    log_max_bytes: Annotated[int, Field(ge=1_000_000)] = 10_000_000_000
    """How large the stream may grow."""
