"""The JSON of payloads: the body of a webhook, the answers of the API, and messages of the status socket.

Source: the types and fixtures of ``xumm-sdk`` and ``xumm-sdk-py``, and the wallet's own source
"""

from dataclasses import asdict
from datetime import datetime
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from processor.sandbox.javascript import JsonObject
from processor.sandbox.payload import SIGN_IN, Payload, SignRequest
from processor.sandbox.payload_table import Cancellation
from processor.sandbox.user_tokens import UserToken

_APPROVED_WITH: Final = "BIOMETRIC"


def encode_webhook(payload: Payload) -> JsonObject:
    """The body of the webhook of ``payload``. No txid if it was rejected or its transaction is never submitted."""
    application, signature = payload.application, payload.signature
    return {
        "meta": {
            "url": application.webhook_url,
            "application_uuidv4": application.key,
            "payload_uuidv4": payload.uuid,
            "opened_by_deeplink": payload.opened_by_deeplink,
        },
        "custom_meta": _encode_custom_meta(payload),
        "payloadResponse": _encode_answer(payload),
        "userToken": encode_issued_token(signature.user_token) if signature else None,
    }


def encode_resolution(payload: Payload) -> JsonObject:
    """The message of the status socket when ``payload`` is resolved."""
    return {
        **_encode_answer(payload),
        "opened_by_deeplink": payload.opened_by_deeplink,
        "custom_meta": _encode_custom_meta(payload),
    }


def encode_creation(payload: Payload, *, base_url: str) -> JsonObject:
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


def encode_cancellation(cancellation: Cancellation) -> JsonObject:
    """The answer to ``DELETE payload``, in which ``expired`` is always true."""
    reason = cancellation.reason
    payload = cancellation.payload
    return {
        "result": {"cancelled": reason == "OK", "reason": reason},
        "meta": _encode_meta(payload, expired=True),
        "custom_meta": _encode_custom_meta(payload),
    }


def encode_payload(payload: Payload, *, now: datetime) -> JsonObject:
    """The answer to ``GET payload``."""
    application, signature = payload.application, payload.signature
    return {
        "meta": _encode_meta(payload, expired=now >= payload.expires_at or payload.cancelled),
        "application": {
            "name": application.name,
            "description": "",
            "disabled": 0,
            "uuidv4": application.key,
            "icon_url": "",
            "issued_user_token": signature.user_token.token if signature else None,
        },
        "payload": _encode_template(payload, now),
        "response": _encode_response(payload, now),
        "custom_meta": _encode_custom_meta(payload),
    }


def encode_user_token(token: str, known: UserToken | None, *, now: datetime) -> JsonObject:
    """The answer to a check of a user token, without dates if ``known`` is None."""
    if known is None:
        return {"user_token": token, "active": False, "issued": None, "expires": None}
    issued, expires = int(known.issued_at.timestamp()), int(known.expires_at.timestamp())
    return {"user_token": token, "active": now < known.expires_at, "issued": issued, "expires": expires}


def encode_issued_token(token: UserToken) -> JsonObject:
    """``userToken`` in the body of a webhook."""
    return {
        "user_token": token.token,
        "token_issued": int(token.issued_at.timestamp()),
        "token_expiration": int(token.expires_at.timestamp()),
    }


def _encode_answer(payload: Payload) -> JsonObject:
    """The user's answer, in the form that the webhook and the status socket share."""
    signature = payload.signature
    return {
        "payload_uuidv4": payload.uuid,
        "reference_call_uuidv4": payload.reference,
        "signed": signature is not None,
        "user_token": signature is not None,
        "return_url": {
            "app": _fill(payload.request.return_url_app, payload),
            "web": _fill(payload.request.return_url_web, payload),
        },
        "txid": signature.txid if signature is not None and payload.request.submits else None,
    }


def _encode_meta(payload: Payload, *, expired: bool) -> JsonObject:
    """``meta`` of the API's answers. A resolved payload expires too, in its time."""
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


def _encode_template(payload: Payload, now: datetime) -> JsonObject:
    request = payload.request
    origin = {True: "DEEP_LINK", False: "QR", None: None}[payload.opened_by_deeplink]
    return {
        "tx_type": request.tx_type,
        "tx_destination": request.txjson.get("Destination", ""),
        "tx_destination_tag": request.txjson.get("DestinationTag"),
        "request_json": _encode_request(request),
        "origintype": origin,
        "signmethod": _APPROVED_WITH if payload.signature else None,
        "created_at": f"{payload.created_at:%Y-%m-%dT%H:%M:%SZ}",
        "expires_at": f"{payload.expires_at:%Y-%m-%dT%H:%M:%SZ}",
        "expires_in_seconds": int((payload.expires_at - now).total_seconds()),
    }


def _encode_request(request: SignRequest) -> JsonObject:
    """A SignIn bears the mark that the wallet signs instead of its type."""
    return {**request.txjson, SIGN_IN: True} if request.tx_type == SIGN_IN else {**request.txjson}


def _encode_response(payload: Payload, now: datetime) -> JsonObject:
    resolved_at, signature = payload.resolved_at, payload.signature
    return {
        "hex": signature.hex if signature else None,
        "txid": signature.txid if signature else None,
        "resolved_at": f"{resolved_at:%Y-%m-%dT%H:%M:%S}.000Z" if resolved_at else None,
        **_encode_dispatch(payload, now),
        "environment_nodeuri": signature.network.node if signature else None,
        "environment_nodetype": signature.network.name if signature else None,
        "environment_networkid": signature.network.id if signature else None,
        "multisign_account": _find_cosigner(payload),
        "account": signature.account if signature else None,
        "signer": signature.signer if signature else None,
        "signer_pubkey": signature.public_key if signature else None,
        "user": str(uuid5(NAMESPACE_URL, signature.signer)) if signature else None,
        "approved_with": _APPROVED_WITH if signature else None,
    }


def _find_cosigner(payload: Payload) -> str | None:
    """The signer of a multisigned transaction; empty for any other; None if unsigned."""
    if payload.signature is None:
        return None
    return payload.signature.signer if payload.request.multisign else ""


def _encode_dispatch(payload: Payload, now: datetime) -> JsonObject:
    """The dispatch fields: empty texts for a transaction that is never submitted, null until known, as at Xumm."""
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


def _encode_custom_meta(payload: Payload) -> JsonObject:
    return asdict(payload.request.custom_meta)


def _fill(url: str | None, payload: Payload) -> str | None:
    """``url`` with Xumm's placeholders filled in."""
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
