"""What is kept of a secret."""

from processor.core.access.service_key import digest_of


def test_digest_is_sha256() -> None:
    """Keys that operators hash with other tools are known again."""
    assert "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683" == digest_of("key").hex()
    assert digest_of("kéy") != digest_of("key")
