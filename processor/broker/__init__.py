"""RabbitMQ: the publisher's port with its two adapters, AMQP, and the topology."""
