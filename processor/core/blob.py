"""What a signed blob, the binary form of a transaction, says of itself.

Source: https://xrpl.org/docs/references/protocol/binary-format
"""

import hashlib
from typing import Final

_TRANSACTION_ID: Final = b"TXN\x00"
_SIZES: Final = {1: 2, 2: 4}  # UInt16 and UInt32: they stand first, in the order of their codes
_LAST_LEDGER_SEQUENCE: Final = (2, 27)


def last_ledger_sequence(blob: str, txid: str) -> int | None:
    """The last ledger that may hold the transaction.

    None if ``blob``, in hexadecimal, names none, or is not the transaction that is known as ``txid``.
    """
    try:
        raw = bytes.fromhex(blob)
    except ValueError:
        return None
    if hashlib.sha512(_TRANSACTION_ID + raw).digest()[:32].hex().upper() != txid:
        return None
    at = 0
    while at + 1 < len(raw):
        kind, field = divmod(raw[at], 16)
        at += 1
        if field == 0:
            field = raw[at]
            at += 1
        end = at + _SIZES.get(kind, len(raw))
        if end > len(raw):
            return None
        if (kind, field) == _LAST_LEDGER_SEQUENCE:
            return int.from_bytes(raw[at:end])
        at = end
    return None
