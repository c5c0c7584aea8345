"""Benchmarks: `python -m bench [NAME …]`. Each prints ours and the peer's figure from one run."""
