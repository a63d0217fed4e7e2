"""HTTP: the server, the client, bodies, problem details."""
