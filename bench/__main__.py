"""Run the benchmarks named, or all."""

import os
import platform
import sys
from importlib import import_module
from pathlib import Path

# The servers and processes that tests run against serve here too.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

BENCHES = (
    "reconcile",
    "million",
    "storm",
    "steady",
    "latency",
    "changes",
    "scale",
    "failover",
    "http",
    "account",
    "commands",
    "pages",
    "simulate",
)


def main() -> int:
    chosen = sys.argv[1:] or BENCHES
    if unknown := set(chosen) - set(BENCHES):
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    from processes import heed_sigterm

    heed_sigterm()
    print(f"# {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in chosen:
        print(f"\n## {name}\n", flush=True)
        import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
