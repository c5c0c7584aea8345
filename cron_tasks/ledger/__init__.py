"""What became of each run: its states, how they change, and a script for each change."""
