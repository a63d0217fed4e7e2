"""Due work: fetch a payload, prove its outcome, record it."""
