"""The HTTP interface for other services."""
