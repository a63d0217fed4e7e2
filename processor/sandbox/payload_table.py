"""All payloads of the sandbox, in memory."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from processor.sandbox.clock import Clock, NewId
from processor.sandbox.payload import (
    CANCELLATION_REASONS,
    Application,
    CancellationReason,
    Payload,
    PayloadSignature,
    SignRequest,
)

_OPEN: Final = frozenset({"waiting", "opened", "opened_expired", "opened_cancelled"})


class UnknownPayloadError(LookupError):
    """No payload has this uuid or identifier in this application."""


class DuplicateIdentifierError(ValueError):
    """Another payload of the application has this identifier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """The outcome of a cancellation: done if the reason is ``OK``."""

    payload: Payload
    reason: CancellationReason


class PayloadTable:
    """The payloads of all applications. Each method returns the payload as it is afterwards.

    ``on_change`` is called with each payload that changes its situation, by an action or by expiry.
    """

    def __init__(
        self, *, clock: Clock, new_id: NewId, on_change: Callable[[Payload], None] = lambda _payload: None
    ) -> None:
        self._clock = clock
        self._new_id = new_id
        self._on_change = on_change
        self._payloads: dict[str, Payload] = {}
        self._identifiers: dict[tuple[str, str], str] = {}

    def create(self, application: Application, request: SignRequest, *, pushed: bool = False) -> Payload:
        """Create a payload. Raises `DuplicateIdentifierError`."""
        identifier = request.custom_meta.identifier
        if identifier is not None and (application.key, identifier) in self._identifiers:
            raise DuplicateIdentifierError("the identifier is taken")
        now = self._clock()
        payload = Payload(
            uuid=self._new_id(),
            reference=self._new_id(),
            application=application,
            request=request,
            created_at=now,
            expires_at=now + request.expire,
            pushed=pushed,
        )
        if identifier is not None:
            self._identifiers[application.key, identifier] = payload.uuid
        return self._store(payload)

    def get(self, uuid: str) -> Payload:
        """The payload at present. Raises `UnknownPayloadError`."""
        payload = self._payloads.get(uuid)
        if payload is None:
            raise UnknownPayloadError("no such payload")
        return self._store(payload.as_of(self._clock()))

    def list_open(self) -> list[Payload]:
        """The payloads that can still be opened, signed or rejected, the oldest first."""
        payloads = [self.get(uuid) for uuid in tuple(self._payloads)]
        return [payload for payload in payloads if payload.situation in _OPEN]

    def by_identifier(self, application: Application, identifier: str) -> Payload:
        """The application's payload with this ``custom_meta.identifier``. Raises `UnknownPayloadError`."""
        return self.get(self._identifiers.get((application.key, identifier), ""))

    def open(self, uuid: str, *, by_deeplink: bool = False) -> Payload:
        """Note that the user opened it. Raises `IllegalActionError`."""
        opened = self.get(uuid).after("open")
        first = opened.opened_by_deeplink
        return self._store(replace(opened, opened_by_deeplink=by_deeplink if first is None else first))

    def sign(self, uuid: str, signature: PayloadSignature) -> Payload:
        """Note the signature. Raises `IllegalActionError`, as for a payload that was never opened."""
        signed = self.get(uuid).after("sign")
        return self._store(replace(signed, resolved_at=self._clock(), signature=signature))

    def reject(self, uuid: str) -> Payload:
        """Note that the user declined. Raises `IllegalActionError`."""
        return self._store(replace(self.get(uuid).after("reject"), resolved_at=self._clock()))

    def expire(self, uuid: str) -> Payload:
        """Let it expire now. Raises `IllegalActionError`."""
        return self._store(replace(self.get(uuid).after("expire"), expires_at=self._clock()))

    def cancel(self, uuid: str, *, racing: bool = False) -> Cancellation:
        """Cancel it unless it was opened; with ``racing``, also if it was opened. The reason tells why not."""
        payload = self.get(uuid)
        reason = "OK" if racing and payload.situation == "opened" else CANCELLATION_REASONS[payload.situation]
        if reason == "OK":
            payload = self._store(replace(payload.after("cancel"), cancelled=True))
        return Cancellation(payload=payload, reason=reason)

    def _store(self, payload: Payload) -> Payload:
        before = self._payloads.get(payload.uuid)
        self._payloads[payload.uuid] = payload
        if before is not None and before.situation != payload.situation:
            self._on_change(payload)
        return payload
