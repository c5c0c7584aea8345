"""`cron-tasks up`: the whole system on this machine, each part a process of its own."""
