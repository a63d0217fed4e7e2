"""Service, consumers and sandbox in one process, to try the product out without a server or an account."""
