"""What must survive a crash: payload states, outbox, due tasks, delivery log, quarantine."""
