from processor.core.access.service_key import PREFIX, ServiceKey, digest_of, find_key

KEYS = tuple(
    ServiceKey(name=name, digest=digest_of(f"key of {name}"), scopes=frozenset({"watches"})) for name in ("a", "b")
)


def test_key_is_found_by_its_hash() -> None:
    """Each key is found, and what is none is not: neither its hash nor a part of it."""
    assert find_key(KEYS, "key of a") == KEYS[0]
    assert find_key(KEYS, "key of b") == KEYS[1]
    for wrong in ("", "key of", "key of c", digest_of("key of a").hex(), "key of ä"):
        assert find_key(KEYS, wrong) is None
    assert find_key((), "key of a") is None


def test_key_may_be_for_some_applications() -> None:
    """One that names none is for all."""
    some = ServiceKey.of("a", digest_of("x").hex(), scopes=["watches"], apps=["shop"])

    assert (some.covers("shop"), some.covers("bar"), KEYS[0].covers("bar")) == (True, False, True)


def test_nothing_of_a_key_is_shown() -> None:
    """Not even its hash stands in a representation."""
    assert digest_of("key of a").hex() not in repr(KEYS[0])
    assert "digest" not in repr(KEYS[0])


def test_key_as_it_is_configured() -> None:
    """Its hash in hexadecimal, its scopes and its applications; a key in a text is recognised by how it begins."""
    key = ServiceKey.of("a", digest_of("x").hex().upper(), scopes=["watches", "devices"], apps=["shop"])

    assert (
        ServiceKey(name="a", digest=digest_of("x"), scopes=frozenset({"watches", "devices"}), apps=frozenset({"shop"}))
        == key
    )
    assert "xwp_" == PREFIX


def test_digest_is_sha256() -> None:
    """Keys that operators hash with other tools are known again."""
    assert "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683" == digest_of("key").hex()
    assert digest_of("kéy") != digest_of("key")
