"""The report task: it sends outcomes back to the REST service."""
