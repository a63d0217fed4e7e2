import pytest

from processor.broker.address import Address, host_and_port, parse_addresses


def _address(**changes: object) -> Address:
    fields = {
        "host": "broker",
        "port": 5672,
        "user": "guest",
        "password": "guest",
        "vhost": "/",
        "tls": False,
    }
    return Address(**{**fields, **changes})  # type: ignore[arg-type]  # the tests' own keywords


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("amqp://broker", _address()),
        ("amqp://broker/", _address()),
        ("amqp://broker/%2F", _address()),
        ("amqp://broker/shop", _address(vhost="shop")),
        ("amqp://u:p%2Fw%2C@broker:1/a%2Fb", _address(port=1, user="u", password="p/w,", vhost="a/b")),
        ("amqp://u:@broker", _address(user="u", password="")),
        ("amqps://broker", _address(port=5671, tls=True)),
        ("amqp://[::1]:7", _address(host="::1", port=7)),
    ],
)
def test_a_url_is_taken_apart(url: str, address: Address) -> None:
    """Missing parts have AMQP's usual values, and escapes are undone."""
    assert parse_addresses(url) == (address,)


def test_many_brokers_come_as_text_or_list() -> None:
    """A comma-separated text and a sequence say the same."""
    expected = (_address(host="a"), _address(host="b", port=5671, tls=True))

    assert parse_addresses("amqp://a, amqps://b,") == expected
    assert parse_addresses(["amqp://a", "amqps://b"]) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "broker",
        "http://u:hunter2@broker",
        "amqp://u:hun/ter2@broker",
        "amqp://u:hunter2@",
        "amqp://u:hunter2@b:x",
    ],
)
def test_a_bad_url_is_refused_without_its_password(url: str) -> None:
    """The complaint repeats nothing of the URL, nor does the error behind it."""
    with pytest.raises(ValueError, match=r"^(no )?broker URL") as refused:
        parse_addresses(url)

    assert "hun" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_an_address_prints_without_its_password() -> None:
    """Neither its text nor its repr tells the password."""
    (address,) = parse_addresses("amqps://u:hunter2@[::1]/a")

    assert str(address) == "amqps://u:***@[::1]:5671/a"
    assert "hunter2" not in repr(address)


def test_host_and_port_tell_no_credentials() -> None:
    """What stands in logs is where the broker is, with the usual port if the URL names none."""
    found = [host_and_port(url) for url in ("amqp://u:secret@broker/shop", "amqps://u:secret@broker", "amqp://b:7")]

    assert found == ["broker:5672", "broker:5671", "b:7"]
