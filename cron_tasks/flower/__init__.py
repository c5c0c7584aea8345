"""Flower: its access rules, our pages in it, and our metrics in it."""
