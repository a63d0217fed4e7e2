"""Decisions without a clock, a network, a log or a database: values in, values out."""
