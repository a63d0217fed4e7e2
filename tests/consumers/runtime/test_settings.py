"""Settings: where they come from, and what is said of wrong ones."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from consumers.push.settings import PushSettings
from consumers.runtime.composition import open_consumer
from consumers.runtime.consumer import Consumer, Context
from consumers.runtime.discovery import NamedConsumer
from consumers.runtime.settings import ConsumerSettings, load_settings
from processor.settings.program import SettingsError
from schemas.events import ResolveValidated

SECRET = "amqp://user:pa55word@broker:5672/"


class ShippingSettings(ConsumerSettings):
    shipping_url: str = "https://shipping.example"
    shipping_key: SecretStr


class Shipping(Consumer):
    """Ships what was paid for."""

    settings = ShippingSettings
    bindings = ("*.resolve.validated",)

    async def ship(self, event: ResolveValidated, context: Context) -> None:
        """Ships nothing."""


def load() -> PushSettings:
    return load_settings(PushSettings).settings


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither the developer's variables nor files play a part."""
    for name in ("CONSUMERS_AMQP_URL", "PROCESSOR_AMQP_URL", "CONSUMERS_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_defaults_are_enough_to_start() -> None:
    """A broker on this machine, and a database file for each consumer."""
    settings = load()

    assert settings.database_of("app-state") == "sqlite:///var/consumers/app-state.db"
    assert settings.brokers == ("amqp://guest:guest@127.0.0.1:5672/",)


def test_broker_address_is_shared_with_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor's own variable is read, and the consumers' variable wins."""
    monkeypatch.setenv("PROCESSOR_AMQP_URL", "amqp://one/, amqp://two/")
    shared = load().brokers
    monkeypatch.setenv("CONSUMERS_AMQP_URL", "amqps://three/")

    assert (shared, load().brokers) == (("amqp://one/", "amqp://two/"), ("amqps://three/",))


def test_environment_beats_dotenv_beats_file(monkeypatch: pytest.MonkeyPatch, empty_directory: Path) -> None:
    """Each source fills what those before it leave open."""
    (empty_directory / "consumers.toml").write_text('prefetch = 1\nmax_attempts = 2\nhandler_timeout = "2m"\n')
    (empty_directory / ".env").write_text("CONSUMERS_PREFETCH=3\nCONSUMERS_MAX_ATTEMPTS=4\nPROCESSOR_OTHER=1\n")
    monkeypatch.setenv("CONSUMERS_PREFETCH", "5")
    settings = load()

    assert (settings.prefetch, settings.max_attempts) == (5, 4)
    assert settings.handler_timeout == timedelta(minutes=2)


def test_plain_postgresql_address_gets_the_driver_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same address as the processor's works here."""
    monkeypatch.setenv("CONSUMERS_DATABASE_URL", "postgresql://user:pw@db/state")

    assert load().database_of("any") == "postgresql+psycopg://user:pw@db/state"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CONSUMERS_AMQP_URL", "http://user:pa55word@broker/"),
        ("CONSUMERS_AMQP_URL", ""),
        ("CONSUMERS_AMQP_URL", "amqp://"),
        ("CONSUMERS_DATABASE_URL", "mysql://user:pa55word@db/x"),
        ("CONSUMERS_DATABASE_URL", "pa55word"),
        ("CONSUMERS_PREFETCH", "0"),
        ("CONSUMERS_PREFETCH", "pa55word"),
        ("CONSUMERS_HANDLER_TIMEOUT", "31m"),
        ("CONSUMERS_HANDLER_TIMEOUT", "0"),
        ("CONSUMERS_INBOX_RETENTION", "1h"),
        ("CONSUMERS_PUSH_CHANNEL", "pa55word"),
        ("CONSUMERS_PUSH_CHANNEL", "fcm,pa55word"),
        ("CONSUMERS_PUSH_CHANNEL", ","),
        ("CONSUMERS_PUSH_TIMEOUT", "2m"),
        ("CONSUMERS_APNS_KEY_ID", "pa55word"),
        ("CONSUMERS_APNS_TOPIC", "com example\n"),
        ("CONSUMERS_WEBPUSH_CONTACT", "pa55word"),
        ("CONSUMERS_WEBPUSH_CONTACT", "mailto:pa55word@localhost"),
        ("CONSUMERS_WEBPUSH_CONTACT", "mailto:pa55word@shop.local?subject=a@b.example"),
        ("CONSUMERS_WEBPUSH_CONTACT", "https://localhost/pa55word"),
        ("CONSUMERS_WEBPUSH_CONTACT", "https://LOCALHOST.:8443"),
        ("CONSUMERS_WEBPUSH_CONTACT", "https://127.0.0.1"),
        ("CONSUMERS_WEBPUSH_CONTACT", "https://[::1]/"),
        ("CONSUMERS_WEBPUSH_CONTACT", "https://"),
        ("CONSUMERS_WEBPUSH_SERVICES", "*"),
        ("CONSUMERS_WEBPUSH_SERVICES", "fcm.googleapis.com,127.0.0.1"),
        ("CONSUMERS_PREFECTH", "3"),
    ],
)
def test_wrong_setting_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """One line says which variable is wrong and what would be right."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as raised:
        load()

    assert str(raised.value).startswith(
        f"{variable} ({variable.removeprefix('CONSUMERS_').lower()}, from environment): "
    )
    assert "pa55word" not in str(raised.value)


@pytest.mark.parametrize(
    "contact", ["mailto:push@shop.example", "https://shop.example/push", "https://push.shop.co.uk"]
)
def test_contact_that_others_reach_is_taken(monkeypatch: pytest.MonkeyPatch, contact: str) -> None:
    """By mail or on the web. Apple takes no other: https://github.com/web-push-libs/web-push/issues/947."""
    monkeypatch.setenv("CONSUMERS_WEBPUSH_CONTACT", contact)

    assert load().webpush_contact == contact


def test_every_wrong_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody likes to mend settings one by one."""
    monkeypatch.setenv("CONSUMERS_PREFETCH", "0")
    monkeypatch.setenv("CONSUMERS_MAX_ATTEMPTS", "0")
    with pytest.raises(SettingsError) as raised:
        load()

    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize("content", ["prefetch = = 1", "prefech = 1"])
def test_wrong_file_is_complained_about(empty_directory: Path, content: str) -> None:
    """A file that is no TOML, or names what is no setting, is not passed over."""
    (empty_directory / "consumers.toml").write_text(content)
    with pytest.raises(SettingsError):
        load()


def test_settings_show_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Printing them by accident leaks nothing, and the log pipeline knows what to mask."""
    monkeypatch.setenv("CONSUMERS_AMQP_URL", SECRET)
    settings = load()

    assert "pa55word" not in repr(settings)
    assert settings.secrets == ("pa55word",)


def test_a_password_is_known_in_both_spellings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors quote URLs, where a password is percent-encoded, so that no log line may hold that either."""
    monkeypatch.setenv("CONSUMERS_DATABASE_URL", "postgresql://me:p%40ss%2Fword@db/shop")

    assert {"p@ss/word", "p%40ss%2Fword"} <= set(load().secrets)


async def test_consumer_names_settings_of_its_own(monkeypatch: pytest.MonkeyPatch, empty_directory: Path) -> None:
    """They come from the same sources, the consumer gets them, and the log pipeline knows their secrets."""
    (empty_directory / "consumers.toml").write_text('shipping_url = "https://other.example"\n')
    monkeypatch.setenv("CONSUMERS_SHIPPING_KEY", "pa55word")
    settings = load_settings(Shipping.settings).settings

    async with open_consumer(NamedConsumer(name="shipping", consumer=Shipping), settings) as (consumer, _):
        found: ShippingSettings = consumer.resources.settings

    assert (found.shipping_url, found.secrets) == ("https://other.example", ("guest", "pa55word"))


def test_required_setting_of_a_consumer_is_named() -> None:
    """The line is the same as for the settings that all consumers have."""
    with pytest.raises(SettingsError) as raised:
        load_settings(ShippingSettings)

    assert str(raised.value) == "CONSUMERS_SHIPPING_KEY (shipping_key): is required"


def test_consumers_share_their_files_and_variables(monkeypatch: pytest.MonkeyPatch, empty_directory: Path) -> None:
    """A setting of another consumer is no mistake, be it wrong; one that looks misspelt is."""
    (empty_directory / "consumers.toml").write_text('push_channel = "fcm"\nprefetch = 3\n')
    monkeypatch.setenv("CONSUMERS_PUSH_TIMEOUT", "soon")
    monkeypatch.setenv("CONSUMERS_SOMEBODY_ELSES", "1")

    assert load_settings(ConsumerSettings).settings.prefetch == 3
    (empty_directory / "consumers.toml").write_text("prefech = 3\n")
    with pytest.raises(SettingsError, match=r"prefech, from consumers.toml.*did you mean prefetch"):
        load_settings(ConsumerSettings)
