"""Sign requests as the interface describes them to callers."""

from base64 import b64encode
from collections.abc import Mapping
from io import BytesIO
from typing import Final

import segno

from processor.api.operations import build_path
from processor.api.sign_requests.creation import CreatedPayload
from processor.core.payload.progress import progress
from processor.core.payload.state import PayloadState
from processor.core.sign_request.request import StoredRequest
from schemas.api import Qr, SignRequestCreated, SignRequestStatus
from schemas.platform import Created

_QR_SCALE: Final = 6


def describe_created(
    model: type[SignRequestCreated], operations: Mapping[str, str], payload: CreatedPayload, **more: str
) -> SignRequestCreated:
    """Build the response to a creation; ``operations`` are by the field that has their path."""
    created = payload.created
    fields = {
        "id": created.uuid,
        "identifier": payload.identifier,
        "link": created.next.always,
        "qr": _draw_qr(created),
        "delivery": "push" if created.pushed else "link",
        "tokens_kept": payload.tokens_kept,
        "expires_at": payload.expires_at,
    }
    paths = {field: build_path(name, id=created.uuid) for field, name in operations.items()}
    return model.model_validate(fields | paths | more)


def describe_status(stored: StoredRequest, state: PayloadState | None) -> SignRequestStatus:
    """Describe how far a sign request is, by the ``state`` of its payload."""
    known = progress(state)
    return SignRequestStatus(
        id=stored.payload or "",
        app=stored.app,
        identifier=stored.named,
        tx_type=stored.tx_type,
        submit=stored.submit,
        created_at=stored.reserved_at,
        expires_at=stored.expires_at if state is None or state.expires_at is None else state.expires_at,
        reported=known.reported,
        outcome=known.outcome,
        account=known.account,
        txid=known.txid,
    )


def _draw_qr(created: Created) -> Qr:
    code, picture = segno.make_qr(created.next.always, error="m"), BytesIO()
    code.save(picture, kind="png", scale=_QR_SCALE)
    return Qr(
        png=f"data:image/png;base64,{b64encode(picture.getvalue()).decode()}",
        matrix=tuple("".join(map(str, row)) for row in code.matrix),
        png_url=created.refs.qr_png,
        matrix_url=created.refs.qr_matrix,
    )
