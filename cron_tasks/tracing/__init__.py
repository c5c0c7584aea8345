"""Traces of runs for OpenTelemetry. If they are off, none of this is imported or computed."""
