"""What users read: every message in every language, the nearest language, and placeholders that are only data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.push.notification import POLICIES, QUIET, build_notification
from consumers.push.translations import LANGUAGES, REFERENCES, fill, lookup_tags, translate
from schemas.events import MODELS
from tests.consumers.events import event

TOLD = sorted(set(POLICIES) - QUIET)


def test_every_event_is_decided_about() -> None:
    """A new event is told or quiet on purpose."""
    assert set(POLICIES) == set(MODELS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_message(language: str) -> None:
    """No user gets a mixture of languages, and no text is kept for an event that is quiet."""
    texts = LANGUAGES[language]

    assert sorted(texts) == TOLD
    assert [name for name, text in texts.items() if not text.title.strip() or not text.body.strip()] == []
    assert "$reference" in REFERENCES[language]


def test_languages_differ() -> None:
    """A table that was copied and not translated is found."""
    titles = [text.title for texts in LANGUAGES.values() for text in texts.values()]

    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("event_type", MODELS)
def test_event_is_told_or_quiet(event_type: str) -> None:
    """What the table says is what a device gets."""
    told = build_notification(event(event_type.removeprefix("xumm.")), locale=None)

    assert (told is None) == (event_type in QUIET)


@pytest.mark.parametrize(
    ("locale", "fallback", "title"),
    [
        ("de", "en", "Bestätigt"),
        ("de-AT", "en", "Bestätigt"),
        ("de_CH.UTF-8", "en", "Bestätigt"),
        ("DE-ch-1996", "en", "Bestätigt"),
        ("ja-JP-u-ca-japanese", "en", "確認されました"),
        ("fr", "de", "Bestätigt"),
        ("fr", "fr", "Confirmed"),
        ("den", "en", "Confirmed"),
        ("", "en", "Confirmed"),
        (None, "ja", "確認されました"),
        (None, "en", "Confirmed"),
    ],
)
def test_nearest_language_is_taken(locale: str | None, fallback: str, title: str) -> None:
    """A region gives way to its language, an unknown language to the fallback, that to English."""
    found = translate("xumm.resolve.signed", locale=locale, fallback=fallback)
    assert found is not None

    assert found.title == title


def test_chain_goes_from_the_special_to_the_general() -> None:
    """A singleton leaves together with what it introduces."""
    assert list(lookup_tags("ja-JP-u-ca", "de")) == ["ja-jp-u-ca", "ja-jp", "ja", "de", "en"]


@given(st.none() | st.text(max_size=40), st.sampled_from(TOLD))
def test_any_locale_gets_a_text(locale: str | None, event_type: str) -> None:
    """What a device says of its language can keep no message from it."""
    assert translate(event_type, locale=locale, fallback="en") is not None


@pytest.mark.parametrize(
    ("locale", "body"),
    [
        (None, "It is final on the ledger. Reference: order-42"),
        ("de-AT", "Sie ist endgültig im Ledger. Referenz: order-42"),
        ("ja", "レジャーに確定的に記録されました。 参照番号: order-42"),
        ("fr", "It is final on the ledger. Reference: order-42"),
    ],
)
def test_reference_stands_in_the_language_of_the_text(locale: str | None, body: str) -> None:
    """The application's own name for the request is added where that is wanted."""
    published = event("resolve.validated", custom_meta={"identifier": "order-42"})
    told = build_notification(published, locale=locale, with_reference=True)
    untold = build_notification(published, locale=locale)
    assert told is not None
    assert untold is not None

    assert (told.body, "order-42" in untold.body) == (body, False)


@pytest.mark.parametrize("meta", [None, {}, {"identifier": ""}])
def test_request_without_a_name_is_told_without_it(meta: dict[str, str] | None) -> None:
    """No empty reference is shown."""
    told = build_notification(event("resolve.validated", custom_meta=meta), locale=None, with_reference=True)
    assert told is not None

    assert told.body == "It is final on the ledger."


@given(st.text())
def test_value_is_never_read_as_a_template(value: str) -> None:
    """Whatever a payload carries, it stays one short line of data."""
    found = fill("<$reference>", reference=value)

    assert found.startswith("<")
    assert found == f"<{''.join(filter(str.isprintable, value))[:40]}>"


def test_unknown_placeholder_does_no_harm() -> None:
    """A mistake in a text shows, and breaks nothing."""
    assert fill("$reference $other ${", reference="$other {0.__class__}") == "$other {0.__class__} $other ${"
