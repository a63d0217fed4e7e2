"""What operators see: log lines without secrets, the catalogue of their names, and the terminal of commands."""
