"""What Xumm says of a payload: the webhook's body and the answers of its API, as plain JSON values.

Source: the types and fixtures of ``xumm-sdk`` and ``xumm-sdk-py``, and what the wallet's own source sends
"""

from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from processor.sandbox.payload import SIGN_IN, Payload, Signature, SignRequest
from processor.sandbox.state import Cancellation
from processor.sandbox.tokens import UserToken

Json = dict[str, Any]

_APPROVED_WITH: Final = "BIOMETRIC"


def webhook_body(payload: Payload) -> Json:
    """The body posted when ``payload`` is resolved. No txid for what is rejected or stays off the ledger."""
    application, signature = payload.application, payload.signature
    return {
        "meta": {
            "url": application.webhook_url,
            "application_uuidv4": application.key,
            "payload_uuidv4": payload.uuid,
            "opened_by_deeplink": payload.opened_by_deeplink,
        },
        "custom_meta": _custom_meta(payload),
        "payloadResponse": _answer(payload),
        "userToken": _user_token(signature),
    }


def resolved(payload: Payload) -> Json:
    """What the status socket says when ``payload`` is resolved."""
    return {
        **_answer(payload),
        "opened_by_deeplink": payload.opened_by_deeplink,
        "custom_meta": _custom_meta(payload),
    }


def created(payload: Payload, *, base_url: str) -> Json:
    """The answer to ``POST payload``."""
    sign = f"{base_url}/sign/{payload.uuid}"
    return {
        "uuid": payload.uuid,
        "next": {"always": sign, "no_push_msg_received": f"{sign}/qr" if payload.pushed else None},
        "refs": {
            "qr_png": f"{sign}_q.png",
            "qr_matrix": f"{sign}_q.json",
            "qr_uri_quality_opts": ["m", "q", "h"],
            "websocket_status": f"{base_url.replace('http', 'ws', 1)}/sign/{payload.uuid}",
        },
        "pushed": payload.pushed,
    }


def cancelled(cancellation: Cancellation) -> Json:
    """The answer to ``DELETE payload``, which says *expired* whatever happened."""
    reason = cancellation.reason
    payload = cancellation.payload
    return {
        "result": {"cancelled": reason == "OK", "reason": reason},
        "meta": _meta(payload, expired=True),
        "custom_meta": _custom_meta(payload),
    }


def fetched(payload: Payload, *, now: datetime) -> Json:
    """The answer to ``GET payload``."""
    application, signature = payload.application, payload.signature
    return {
        "meta": _meta(payload, expired=now >= payload.expires_at or payload.cancelled),
        "application": {
            "name": application.name,
            "description": "",
            "disabled": 0,
            "uuidv4": application.key,
            "icon_url": "",
            "issued_user_token": signature.user_token.token if signature else None,
        },
        "payload": _template(payload, now),
        "response": _response(payload, now),
        "custom_meta": _custom_meta(payload),
    }


def validity(token: str, known: UserToken | None, *, now: datetime) -> Json:
    """What is said of a user token; of one that nobody knows no dates are."""
    if known is None:
        return {"user_token": token, "active": False, "issued": None, "expires": None}
    issued, expires = int(known.issued_at.timestamp()), int(known.expires_at.timestamp())
    return {"user_token": token, "active": now < known.expires_at, "issued": issued, "expires": expires}


def _answer(payload: Payload) -> Json:
    """How the user answered, in the shape that webhook and socket share."""
    signature = payload.signature
    return {
        "payload_uuidv4": payload.uuid,
        "reference_call_uuidv4": payload.reference,
        "signed": signature is not None,
        "user_token": signature is not None,
        "return_url": {
            "app": _filled(payload.request.return_url_app, payload),
            "web": _filled(payload.request.return_url_web, payload),
        },
        "txid": signature.txid if signature is not None and payload.request.submits else None,
    }


def _meta(payload: Payload, *, expired: bool) -> Json:
    """A payload that is resolved expires as well, when its time comes."""
    request = payload.request
    return {
        "exists": True,
        "uuid": payload.uuid,
        "multisign": request.multisign,
        "submit": request.submit,
        "pathfinding": request.pathfinding,
        "pathfinding_fallback": request.pathfinding_fallback,
        "destination": request.txjson.get("Destination", ""),
        "resolved_destination": request.txjson.get("Destination", ""),
        "resolved": payload.resolved_at is not None,
        "signed": payload.signature is not None,
        "cancelled": payload.cancelled,
        "expired": expired,
        "pushed": payload.pushed,
        "app_opened": payload.opened,
        "opened_by_deeplink": payload.opened_by_deeplink,
        "immutable": request.immutable,
        "forceAccount": False,
        "return_url_app": request.return_url_app,
        "return_url_web": request.return_url_web,
        "is_xapp": False,
        "signers": list(request.signers) if request.signers is not None else None,
        "force_network": request.force_network,
    }


def _template(payload: Payload, now: datetime) -> Json:
    request = payload.request
    origin = {True: "DEEP_LINK", False: "QR", None: None}[payload.opened_by_deeplink]
    return {
        "tx_type": request.tx_type,
        "tx_destination": request.txjson.get("Destination", ""),
        "tx_destination_tag": request.txjson.get("DestinationTag"),
        "request_json": _asked(request),
        "origintype": origin,
        "signmethod": _APPROVED_WITH if payload.signature else None,
        "created_at": f"{payload.created_at:%Y-%m-%dT%H:%M:%SZ}",
        "expires_at": f"{payload.expires_at:%Y-%m-%dT%H:%M:%SZ}",
        "expires_in_seconds": int((payload.expires_at - now).total_seconds()),
    }


def _asked(request: SignRequest) -> Json:
    """A SignIn bears the mark that the wallet signs instead of its type."""
    return {**request.txjson, SIGN_IN: True} if request.tx_type == SIGN_IN else {**request.txjson}


def _response(payload: Payload, now: datetime) -> Json:
    resolved_at, signature = payload.resolved_at, payload.signature
    return {
        "hex": signature.hex if signature else None,
        "txid": signature.txid if signature else None,
        "resolved_at": f"{resolved_at:%Y-%m-%dT%H:%M:%S}.000Z" if resolved_at else None,
        **_dispatch(payload, now),
        "environment_nodeuri": signature.network.node if signature else None,
        "environment_nodetype": signature.network.name if signature else None,
        "environment_networkid": signature.network.id if signature else None,
        "multisign_account": _cosigner(payload),
        "account": signature.account if signature else None,
        "signer": signature.signer if signature else None,
        "signer_pubkey": signature.public_key if signature else None,
        "user": str(uuid5(NAMESPACE_URL, signature.signer)) if signature else None,
        "approved_with": _APPROVED_WITH if signature else None,
    }


def _cosigner(payload: Payload) -> str | None:
    """Who signed for an account that has several signers; empty for who signs for itself."""
    if payload.signature is None:
        return None
    return payload.signature.signer if payload.request.multisign else ""


def _dispatch(payload: Payload, now: datetime) -> Json:
    """Empty text for what is never submitted, null for what is not known yet, as Xumm has it."""
    signature = payload.signature
    if signature is None or signature.dispatch is None:
        nothing = None if signature is None or payload.request.submits else ""
        return {
            "dispatched_to": nothing,
            "dispatched_result": nothing,
            "dispatched_nodetype": nothing,
            "dispatched_to_node": False,
        }
    known = now >= signature.dispatch.known_at
    return {
        "dispatched_to": signature.network.node,
        "dispatched_result": signature.dispatch.result if known else None,
        "dispatched_nodetype": signature.network.name,
        "dispatched_to_node": known,
    }


def _custom_meta(payload: Payload) -> Json:
    custom = payload.request.custom_meta
    return {"identifier": custom.identifier, "blob": custom.blob, "instruction": custom.instruction}


def _user_token(signature: Signature | None) -> Json | None:
    if signature is None:
        return None
    token = signature.user_token
    return {
        "user_token": token.token,
        "token_issued": int(token.issued_at.timestamp()),
        "token_expiration": int(token.expires_at.timestamp()),
    }


def _filled(url: str | None, payload: Payload) -> str | None:
    """``url`` with Xumm's placeholders replaced."""
    if url is None:
        return None
    signature = payload.signature
    values = {
        "{id}": payload.uuid,
        "{cid}": payload.request.custom_meta.identifier,
        "{txid}": signature.txid if signature else None,
        "{txblob}": signature.hex if signature else None,
    }
    for placeholder, value in values.items():
        url = url.replace(placeholder, value or "")
    return url
