"""Nodes of the XRP Ledger and what they prove."""
