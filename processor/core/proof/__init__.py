"""What proves an outcome."""
