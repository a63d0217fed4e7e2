"""User tokens at rest."""

import hashlib
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from processor.core.errors import SealBroken, SealingError, UnknownSealingKey
from processor.core.sign_request.sealing import KEY_BYTES, NONCE_BYTES, Keyring, Sealed, SealingKey, TokenBinding

OLD = SealingKey.of(b"o" * 32)
NEW = SealingKey.of(b"n" * 32)
NONCE = bytes(range(NONCE_BYTES))
TOKEN = str(UUID(int=99, version=4))
MINE = TokenBinding("app", "user", "account")


@given(st.text(max_size=60), st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES))
def test_what_was_sealed_opens(token: str, nonce: bytes) -> None:
    """Whoever holds the key and knows whom it is of reads the token, and it stands nowhere in between."""
    keyring = Keyring([NEW])
    sealed = keyring.seal(token, MINE, nonce)

    assert token == keyring.open(sealed, MINE)
    assert len(token) < 3 or token.encode() not in sealed.box


def test_rotation() -> None:
    """The first key seals; what an older one sealed opens as long as that is there."""
    old = Keyring([OLD]).seal(TOKEN, MINE, NONCE)
    both = Keyring([NEW, OLD])

    assert TOKEN == both.open(old, MINE)
    assert NEW.id == both.active == both.seal(TOKEN, MINE, NONCE).key_id
    with pytest.raises(UnknownSealingKey, match=OLD.id):
        Keyring([NEW]).open(old, MINE)


@pytest.mark.parametrize(
    "binding",
    [
        MINE._replace(application_uuid="other"),
        MINE._replace(user="other"),
        MINE._replace(account="other"),
        MINE._replace(account=None),
        TokenBinding("app", "useraccount", None),
        TokenBinding("appuser", "", "account"),
    ],
)
def test_a_token_opens_only_where_it_belongs(binding: TokenBinding) -> None:
    """In the row of another application, user or account it is of no use."""
    sealed = Keyring([NEW]).seal(TOKEN, MINE, NONCE)

    with pytest.raises(SealBroken):
        Keyring([NEW]).open(sealed, binding)


@given(st.data())
def test_tampering_shows(data: st.DataObject) -> None:
    """Whatever bit is turned over, the token does not open."""
    sealed = Keyring([NEW]).seal(TOKEN, MINE, NONCE)
    box = bytearray(sealed.box)
    box[data.draw(st.integers(0, len(box) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(SealBroken):
        Keyring([NEW]).open(sealed._replace(box=bytes(box)), MINE)


@pytest.mark.parametrize("box", [b"", b"short", NONCE, NONCE + b"\0" * 16])
def test_nonsense_does_not_open(box: bytes) -> None:
    """What is too short to be sealed, or empty, is an error of the same kind, and tells nothing."""
    with pytest.raises(SealBroken) as raised:
        Keyring([NEW]).open(Sealed(NEW.id, box), MINE)

    assert TOKEN not in str(raised.value)


def test_an_old_key_under_a_new_name_is_none() -> None:
    """The key's id is bound too."""
    sealed = Keyring([OLD]).seal(TOKEN, MINE, NONCE)

    with pytest.raises(SealingError):
        Keyring([NEW, OLD]).open(sealed._replace(key_id=NEW.id), MINE)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_keys_have_32_bytes(length: int) -> None:
    """Anything shorter or longer is no key, and a key shows itself to nobody."""
    with pytest.raises(ValueError, match="32 bytes"):
        SealingKey.of(b"x" * length)

    assert "nnnn" not in repr(NEW)
    assert "nnnn" not in repr(Keyring([NEW]))


def test_messages_name_the_key() -> None:
    """An operator learns which key is missing, or that a token was changed, and nothing else."""
    sealed = Keyring([OLD]).seal(TOKEN, MINE, NONCE)

    with pytest.raises(UnknownSealingKey) as unknown:
        Keyring([NEW]).open(sealed, MINE)
    with pytest.raises(SealBroken) as broken:
        Keyring([OLD]).open(sealed, MINE._replace(user="other"))
    assert f"no sealing key {OLD.id} is configured" == str(unknown.value)
    assert f"a token sealed with key {OLD.id} was changed, or is somebody else's" == str(broken.value)


def test_keyring_shows_ids() -> None:
    """Those alone."""
    assert f"Keyring({NEW.id}, {OLD.id})" == repr(Keyring([NEW, OLD]))


def test_tokens_of_other_versions_open() -> None:
    """Id, nonce, ciphertext and what it is bound to are written in one way alone."""
    key_id = hashlib.sha256(b"xumm-processor/user-token/1" + b"n" * 32).hexdigest()[:12]
    bound = [
        f"xumm-processor/user-token/1\x1f{key_id}\x1fapp\x1fuser\x1f{account}".encode() for account in ("account", "")
    ]
    boxes = [NONCE + AESGCM(b"n" * 32).encrypt(NONCE, TOKEN.encode(), each) for each in bound]

    assert (32, 12, key_id) == (KEY_BYTES, NONCE_BYTES, NEW.id)
    assert [Sealed(key_id, box) for box in boxes] == [
        Keyring([NEW]).seal(TOKEN, binding, NONCE) for binding in (MINE, TokenBinding("app", "user"))
    ]
