"""What a run leads to: outcomes, notifications, queries, and commands by hand."""
