"""Where deliveries come from: the port, its adapters for RabbitMQ and for one process, and the dead letters."""
