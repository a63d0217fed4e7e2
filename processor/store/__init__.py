"""The database, on SQLite or PostgreSQL.

A call takes three steps: an adapter (`adapters`) of a port (`ports`, all that the flows and the API know), the
writer, and a function of a connection in the module of a family of tables: `outbox`, `tasks`, `watches`, `payloads`,
`deliveries`, `outcomes`, `sign_requests`, `sessions`, `used_once`, `user_tokens`, `leases`, `retention`. Reports pass
from the writer to `recording`.

- `writer`, `work`, `group_commit`: the queue, and the transactions that its entries and jobs share
- `store`, `database`, `sqlite`, `postgresql`: opening, transactions, errors
- `tables`, `rows`, `migrations`: columns, statements for many rows, steps from one version to the next
- `readiness`: whether a webhook sent now would be stored
"""
