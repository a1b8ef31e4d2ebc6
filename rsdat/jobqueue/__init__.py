"""Job queues as pure adapters."""
