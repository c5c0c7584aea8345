"""Metrics for Prometheus: what there is, where it is read, and how it is served."""
