"""Whether an outcome is proven: by a signature, and by a transaction in a ledger."""
