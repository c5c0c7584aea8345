"""A job: its validation, its policies, its actions and its stored form. Pure."""
