"""The user's REST service: reading its list of jobs, and sending reports to it."""
