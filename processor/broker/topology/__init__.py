"""RabbitMQ's exchanges, queues, bindings and policies as code: the desired objects, the actual ones, and the
differences.

Everything goes through the management API, since no other interface sets policies. Nothing is ever deleted. Holds on
RabbitMQ 3.10, 4.0 and 4.3.
"""
