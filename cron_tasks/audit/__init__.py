"""Expected runs against recorded ones: the account, explanations, and backfill."""
