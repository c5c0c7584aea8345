"""Shared by all HTTP clients: addresses, deadlines, causes of failures, Retry-After."""
