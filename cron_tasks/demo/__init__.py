"""The additions of `cron-tasks up --demo`: a REST service with sample jobs, and a printing bot."""
