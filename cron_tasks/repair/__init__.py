"""Compares what Redis holds with itself, and mends the differences (anti-entropy)."""
