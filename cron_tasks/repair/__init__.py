"""Anti-entropy: Redis compared with itself, and mended."""
