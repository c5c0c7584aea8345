"""Find out whether the system works, and explain the problems.

checks          the table of checks behind `cron-tasks doctor`, and their runner
system          the system to check, and the result of a check
redis_checks    Redis itself
service_checks  the REST service, the syncs and the registry
beat_checks     beat, and overdue jobs and runs
bot_checks      the notifications that wait for the bot
worker_checks   the workers and their queues
needs           the queues and recipients that the registered jobs need
workers         the queues and tasks of the workers
failures        failures of the surroundings (Redis, the disk, the settings) as sentences
"""
