"""What each source says about a payload: one parser for each source."""
