"""Signs of life of the processes, and the judgement whether the system is healthy.

signs      where each beat and each worker says that it works
leaders    which beat leads, and which ones led before
judgement  what `cron-tasks health`, `doctor` and the heartbeat conclude

Imports nothing that takes long to import, because probes ask every few seconds.
"""
