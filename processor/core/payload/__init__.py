"""What a report changes, how a payload ends, and which events and lookups follow."""
