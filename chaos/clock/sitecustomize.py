"""Shift the wall clock of this process by CHAOS_CLOCK seconds.

Python imports `sitecustomize` before anything else, so every later import sees the shifted
`time.time`. This folder is on PYTHONPATH only for the processes of chaos.
"""

import os
import time

shift = float(os.environ.get("CHAOS_CLOCK") or 0)
if shift:
    unshifted = time.time
    time.time = lambda: unshifted() + shift
