"""Signing in: by a sign request, or through Xumm's OAuth2 provider."""
