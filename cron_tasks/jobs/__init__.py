"""What to run: a job, its validation, its policies and its actions. Pure."""
