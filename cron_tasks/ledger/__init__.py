"""The ledger of all runs: their states, how these change, and a script for each change."""
