"""The sync task: it makes the registry equal to the list of the REST service."""
