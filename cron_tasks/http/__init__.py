"""The shared parts of all HTTP clients: addresses, deadlines, failures in words, Retry-After."""
