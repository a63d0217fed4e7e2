"""The body of an authentic webhook, to a report."""

from typing import Final

from pydantic import ValidationError

from processor.core.application import Application
from processor.core.delivery.authentication import Delivery
from processor.core.errors import NormalizeError
from processor.core.reports.custom_meta import encode_custom_meta
from processor.core.reports.parsing import parse_leniently, parse_model
from processor.core.reports.report import ReportedToken, WebhookReport
from schemas.text import aware
from schemas.validation import describe_problems
from schemas.webhook import WEBHOOK, Naming, UserToken, Webhook

_MISADDRESSED: Final = "meta.application_uuidv4 is not the application that the webhook was posted for"


def webhook_report(delivery: Delivery) -> WebhookReport:
    """The report in an authentic webhook. Raises `NormalizeError` if the body is invalid or contradicts itself."""
    application = delivery.application
    webhook = _parse(application, delivery.body)
    response = webhook["payloadResponse"]
    return WebhookReport(
        application.name,
        application.uuid,
        response["payload_uuidv4"],
        delivery.received_at,
        response["signed"],
        response.get("txid"),
        _reported_token(webhook.get("userToken")),
        encode_custom_meta(webhook.get("custom_meta")),
    )


def parse_payload_uuid(application: Application, body: bytes) -> str:
    """The payload that an authentic body names, even if the rest of the body is invalid. Raises `NormalizeError`."""
    meta = parse_model(Naming, body).meta
    if meta.application_uuidv4 != application.uuid:
        raise NormalizeError(_MISADDRESSED)
    return meta.payload_uuidv4


def _parse(application: Application, body: bytes) -> Webhook:
    try:
        webhook: Webhook = parse_leniently(WEBHOOK.validator.validate_json, body)
    except ValidationError as error:
        raise NormalizeError(describe_problems(error)) from None
    meta = webhook["meta"]
    if meta["application_uuidv4"] != application.uuid:
        raise NormalizeError(_MISADDRESSED)
    if meta["payload_uuidv4"] != webhook["payloadResponse"]["payload_uuidv4"]:
        raise NormalizeError("meta.payload_uuidv4 and payloadResponse.payload_uuidv4 differ")
    return webhook


def _reported_token(token: UserToken | None) -> ReportedToken | None:
    value = None if token is None else token.get("user_token")
    if token is None or value is None:
        return None
    return ReportedToken(value, aware(token.get("token_issued")), aware(token.get("token_expiration")))
