"""Providers of push notifications: one module for each."""
