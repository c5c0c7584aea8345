"""Find out whether the system works, and explain what is wrong with it.

checks          the table of checks behind `cron-tasks doctor`, and their runner
system          the system to check, and what a check finds
redis_checks    Redis itself
service_checks  the REST service, the syncs and the registry
beat_checks     beat, and what it left undone
bot_checks      the notifications that wait for the bot
worker_checks   the workers and their queues
needs           what the registered jobs need
workers         what the workers consume
failures        failures of what surrounds us (Redis, the disk, the settings) as sentences
"""
