"""Find out whether the system works, and explain what is wrong with it.

checks    the table of checks behind `cron-tasks doctor`
failures  failures of what surrounds us (Redis, the disk, the settings) as sentences
"""
