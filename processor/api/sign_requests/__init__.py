"""Sign requests: create, show and cancel them; the user tokens to push them with; the links back to the app."""
