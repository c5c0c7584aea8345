"""The worker process: it performs runs and concludes them."""
