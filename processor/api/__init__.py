"""The HTTP interface for apps and services."""
