"""The broker: kombu's transport, the depth of queues, and which workers are present."""
