"""Break it on purpose: `python -m chaos [--minutes N] [--seed S]`.

Beats, workers and Redis are killed, frozen, cut off and filled up, at random and at the worst
instants; then a checker that shares no code with the product compares every expected tick with the
ledger and with what the bot's queue holds.
"""
