"""Event-driven triggers for ML pipelines: drop a file, and a durable chain of typed steps runs."""
