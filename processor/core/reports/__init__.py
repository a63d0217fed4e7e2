"""What a source says, as a report: one parser for each source."""
