"""Signs of life of the processes, and the judgement whether the system is healthy.

signs      signs of life of each beat and each worker
leaders    which beat leads, and which ones led before
judgement  the verdict for `cron-tasks health`, `doctor` and the heartbeat

Imports nothing that takes long to import, because probes ask every few seconds.
"""
