"""The durable session."""
