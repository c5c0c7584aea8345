"""The report thread: it sends the state of jobs back to the REST service."""
