"""Text of others, made safe to show on one line."""


def escape_unprintable(text: str, keep: str = "") -> str:
    """``text`` with Python's escape for each character that is not printable, except those in ``keep``."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)


def replace_unprintable(text: str) -> str:
    """``text`` with ``?`` for each character that is not printable."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
