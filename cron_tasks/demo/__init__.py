"""Provide what `cron-tasks up --demo` adds: a REST service with sample jobs, and a printing bot."""
