"""What became of each run: its states, and one script for each transition."""
