"""Break the system on purpose: `python -m chaos [--minutes N] [--seed S] [--fault NAME]`.

Beats, workers, syncs, Redis and the services are killed, frozen, cut off and filled up, at random
and at the worst instants. Keys are deleted, clocks differ, long lists change. Meanwhile jobs and
runs are paused, cancelled, retried and backfilled. Then a checker that shares no code with the
product compares every expected tick with the ledger, with the bot's queue, and with the log of the
service that the jobs call. It also compares the registry with the list.
"""
