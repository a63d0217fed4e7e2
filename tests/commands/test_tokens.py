"""``processor tokens``."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from processor.__main__ import app
from processor.core.sign_request.sealing import Keyring, SealingKey
from processor.store.store import Store
from tests.contract.test_store_user_tokens import TOKEN, signed
from tests.store.samples import ACCOUNT, NOW

OLD = "b29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb28="
NEW = "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4="


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/s.db"
    values = {
        "DATABASE_URL": url,
        "APPLICATIONS__SHOP__API_KEY": "11111111-2222-4333-8444-555555555555",
        "APPLICATIONS__SHOP__API_SECRET": "12345678-90ab-4cde-8f01-234567890abc",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"PROCESSOR_{name}", value)
    with Store.open(url, Keyring([SealingKey.of(b"o" * 32)])) as store:
        store.record([signed(1)], NOW)
    return tmp_path


def test_rotation(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens are sealed anew with the first key, after which the old one can go; no token is shown."""
    monkeypatch.setenv("PROCESSOR_TOKEN_KEYS", f"{NEW},{OLD}")
    before = CliRunner().invoke(app, ["tokens", "list", "--json"])
    rotated = CliRunner().invoke(app, ["tokens", "rotate"])
    after = CliRunner().invoke(app, ["tokens", "list", "--json"])
    active = Keyring([SealingKey.of(b"n" * 32)]).active

    assert (before.exit_code, rotated.exit_code) == (0, 0)
    assert [(row["account"], row["key"] == active) for row in json.loads(before.stdout)] == [(ACCOUNT, False)]
    assert [row["key"] for row in json.loads(after.stdout)] == [active]
    assert TOKEN not in before.output + rotated.output + after.output
    assert NEW not in rotated.output


def test_rotation_without_the_old_key(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not open is counted and left, and the exit code says so."""
    monkeypatch.setenv("PROCESSOR_TOKEN_KEYS", NEW)
    rotated = CliRunner().invoke(app, ["tokens", "rotate"])

    assert (rotated.exit_code, "1 cannot be opened" in rotated.output) == (1, True)
