"""Break the system on purpose: `python -m chaos [--minutes N] [--seed S] [--fault NAME]`.

Beats, workers, syncs, Redis and the services are killed, frozen, cut off and filled up, at random
and at the worst instants. Keys are deleted, clocks are apart, long lists change. Meanwhile somebody
pauses, cancels, retries and backfills. Then a checker that shares no code with the product compares
every expected tick with the ledger, with what the bot's queue holds, and with what the service saw
that jobs ask; and the registry with the list.
"""
