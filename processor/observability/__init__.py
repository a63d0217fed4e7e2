"""What operators see: logs, redaction, and the catalogue of log events."""
