"""Break it on purpose: `python -m chaos [--minutes N] [--seed S]`.

Beats, workers, Redis and the services are killed, frozen, cut off and filled up, at random and at
the worst instants, while somebody pauses, cancels and retries; then a checker that shares no code
with the product compares every expected tick with the ledger, with what the bot's queue holds, and
with what the service saw that jobs ask.
"""
