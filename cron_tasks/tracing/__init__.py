"""Traces of runs for OpenTelemetry. Off, nothing of it is imported and nothing is computed."""
