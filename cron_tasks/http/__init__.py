"""What every HTTP client of ours shares: addresses, deadlines, and failures in words."""
