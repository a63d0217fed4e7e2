"""What is decided here is decided without a clock, a network, a log or a database: values in, values out."""
