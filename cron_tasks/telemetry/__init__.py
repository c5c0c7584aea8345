"""What this program reports about itself: logs."""
