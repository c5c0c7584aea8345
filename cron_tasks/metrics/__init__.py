"""Metrics for Prometheus: the catalogue, the collectors, and how they are served."""
