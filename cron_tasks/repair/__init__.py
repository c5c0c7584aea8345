"""Compares the keys in Redis with one another, and repairs the differences (anti-entropy)."""
