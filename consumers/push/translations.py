"""The texts of notifications in each language.

Plain tables instead of gettext catalogues: a dozen sentences need no compiler, and a test finds a missing one. To add
a language: one table and one row in `LANGUAGES`. A table for a region, such as ``de-CH``, may hold only what differs.
"""

from collections.abc import Iterator, Mapping
from string import Template
from typing import Final, NamedTuple

LONGEST_VALUE: Final = 40
"""Characters of a placeholder's value at most: Xumm's limit for an identifier."""


class Wording(NamedTuple):
    """The text of one event."""

    title: str
    body: str


Wordings = Mapping[str, Wording]

ENGLISH: Final[Wordings] = {
    "xumm.sign.opened": Wording("Sign request opened", "Check the details in Xumm before you sign."),
    "xumm.sign.signed": Wording("Signed", "Thank you. We are checking it now."),
    "xumm.sign.rejected": Wording("Sign request declined", "You declined the request. Nothing was signed."),
    "xumm.sign.expired": Wording("Sign request expired", "It can no longer be opened."),
    "xumm.sign.cancelled": Wording("Sign request withdrawn", "The request was withdrawn. There is nothing to do."),
    "xumm.resolve.signed": Wording("Confirmed", "Xumm confirmed your signature."),
    "xumm.resolve.validated": Wording("Transaction confirmed", "It is final on the ledger."),
    "xumm.resolve.failed": Wording("Transaction failed", "It was not carried out on the ledger."),
}
GERMAN: Final[Wordings] = {
    "xumm.sign.opened": Wording("Anfrage geöffnet", "Prüfe die Angaben in Xumm, bevor du unterschreibst."),
    "xumm.sign.signed": Wording("Unterschrieben", "Danke. Wir prüfen es gerade."),
    "xumm.sign.rejected": Wording("Anfrage abgelehnt", "Du hast abgelehnt. Nichts wurde unterschrieben."),
    "xumm.sign.expired": Wording("Anfrage abgelaufen", "Sie kann nicht mehr geöffnet werden."),
    "xumm.sign.cancelled": Wording("Anfrage zurückgezogen", "Die Anfrage wurde zurückgezogen. Es ist nichts zu tun."),
    "xumm.resolve.signed": Wording("Bestätigt", "Xumm hat deine Unterschrift bestätigt."),
    "xumm.resolve.validated": Wording("Transaktion bestätigt", "Sie ist endgültig im Ledger."),
    "xumm.resolve.failed": Wording("Transaktion fehlgeschlagen", "Sie wurde im Ledger nicht ausgeführt."),
}
JAPANESE: Final[Wordings] = {
    "xumm.sign.opened": Wording("署名リクエストが開かれました", "署名する前に、Xummで内容をご確認ください。"),
    "xumm.sign.signed": Wording("署名されました", "ありがとうございます。ただいま確認しています。"),
    "xumm.sign.rejected": Wording("署名リクエストを拒否しました", "リクエストを拒否しました。何も署名されていません。"),
    "xumm.sign.expired": Wording("署名リクエストの期限切れ", "このリクエストはもう開けません。"),
    "xumm.sign.cancelled": Wording("署名リクエストの取り消し", "リクエストは取り消されました。操作は不要です。"),
    "xumm.resolve.signed": Wording("確認されました", "Xummがあなたの署名を確認しました。"),
    "xumm.resolve.validated": Wording("取引が確定しました", "レジャーに確定的に記録されました。"),
    "xumm.resolve.failed": Wording("取引が失敗しました", "レジャーで実行されませんでした。"),
}
LANGUAGES: Final[Mapping[str, Wordings]] = {"en": ENGLISH, "de": GERMAN, "ja": JAPANESE}
"""By BCP 47 tag in lower case."""
REFERENCES: Final[Mapping[str, str]] = {
    "en": "Reference: $reference",
    "de": "Referenz: $reference",
    "ja": "参照番号: $reference",
}
"""The sentence that names the sign request, if the settings ask for it."""
LAST_RESORT: Final = "en"


def translate(event_type: str, *, locale: str | None, fallback: str, reference: str | None = None) -> Wording | None:
    """The text of an event in the nearest language that has one; None if no language has."""
    for tag in lookup_tags(locale, fallback):
        found = LANGUAGES.get(tag, {}).get(event_type)
        if found is not None:
            return found if reference is None else _add_reference(found, reference, lookup_tags(tag, fallback))
    return None


def lookup_tags(locale: str | None, fallback: str) -> Iterator[str]:
    """Language tags in order: ``de-AT``, ``de``, then ``fallback`` and English. POSIX names (``de_AT.UTF-8``) work too.

    Source: RFC 4647 section 3.4 (lookup).
    """
    for tag in (locale or "", fallback, LAST_RESORT):
        parts = tag.partition(".")[0].partition("@")[0].replace("_", "-").lower().split("-")
        while parts and parts[0]:
            yield "-".join(parts)
            parts.pop()
            if parts and len(parts[-1]) == 1:  # a singleton introduces the subtag that was just removed
                parts.pop()


def _add_reference(text: Wording, reference: str, tags: Iterator[str]) -> Wording:
    sentence = next(found for found in map(REFERENCES.get, tags) if found is not None)
    return text._replace(body=f"{text.body} {fill(sentence, reference=reference)}")


def fill(text: str, **values: str) -> str:
    """``text`` with its ``$placeholders`` filled. A value is never read as a template, and is cut to one line."""
    clean = {name: "".join(filter(str.isprintable, value))[:LONGEST_VALUE] for name, value in values.items()}
    return Template(text).safe_substitute(clean)
