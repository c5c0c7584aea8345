"""What a run leads to: its outcome, its notifications, and what people ask and do about it."""
