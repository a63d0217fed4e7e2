"""A Xumm of our own for development and tests.

It knows nothing of the service, so that the two check each other.
"""
