"""Recorded webhook bodies: each ``<name>.json`` is read as its ``<name>.expected.json`` says."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from processor.core.reports.custom_meta import encode_custom_meta
from schemas.webhook import WEBHOOK

FOLDER = Path(__file__).parents[1] / "fixtures" / "webhooks"
EXPECTATIONS = sorted(FOLDER.glob("*.expected.json"))


def facts(body: bytes) -> dict[str, Any]:
    """What the body says, or that it says nothing."""
    try:
        webhook = WEBHOOK.validate_json(body)
    except ValidationError:
        return {"error": True}
    meta, response = webhook["meta"], webhook["payloadResponse"]
    custom = json.loads(encode_custom_meta(webhook.get("custom_meta")) or b"{}")
    token = webhook.get("userToken") or {}
    return {
        "application": meta["application_uuidv4"],
        "payload": meta["payload_uuidv4"],
        "agrees": meta["payload_uuidv4"] == response["payload_uuidv4"],
        "signed": response["signed"],
        "txid": response.get("txid"),
        "opened_by_deeplink": meta.get("opened_by_deeplink"),
        "identifier": custom.get("identifier"),
        "blob": custom.get("blob"),
        "instruction": custom.get("instruction"),
        "user_token": token.get("user_token"),
        "token_issued": in_utc(token.get("token_issued")),
        "token_expiration": in_utc(token.get("token_expiration")),
    }


def in_utc(moment: datetime | None) -> str | None:
    """One moment has one text, whatever its offset."""
    return moment.astimezone(UTC).isoformat() if moment else None


@pytest.mark.parametrize("path", EXPECTATIONS, ids=lambda path: path.name.removesuffix(".expected.json"))
def test_a_recorded_body_is_read_as_expected(path: Path) -> None:
    """What the body says is what stands beside it, and a malformed one is refused."""
    body = path.with_name(path.name.replace(".expected.json", ".json")).read_bytes()

    assert json.loads(path.read_text(encoding="utf-8")) == facts(body)


def test_every_recorded_body_has_its_expectation() -> None:
    """No body lies about unchecked."""
    bodies = {path.name for path in FOLDER.glob("*.json") if not path.name.endswith(".expected.json")}

    assert {path.name.replace(".expected", "") for path in EXPECTATIONS} == bodies
