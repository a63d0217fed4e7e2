"""Sign requests: make, show, cancel; the user tokens they need; the way back."""
