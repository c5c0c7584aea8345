"""Redis: the client, every key, the loader of Lua scripts, and leases."""
