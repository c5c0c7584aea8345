"""The steps of the ledger: one Lua script each (ledger.py says what they are for).

Each takes any number of ticks as one flat list of arguments. The scripts read and write many fields
with one command where they can, since a call from Lua costs more than what it does.
"""

from collections.abc import Callable

from cron_tasks.store.scripts import Script, positional, script

advance: Callable[..., list[str]] = positional("ledger/advance")
open: Callable[..., list[str]] = positional("ledger/open")
claim: Callable[..., list[str | list[str] | int]] = positional("ledger/claim")
renew: Script[list[str]] = script("ledger/renew")
hand_over: Script[str] = script("ledger/hand_over")
finish: Callable[..., tuple[list[str], list[str]]] = positional("ledger/finish")
stop: Callable[..., list[str]] = positional("ledger/stop")
overdue: Callable[..., list[list[str]]] = positional("ledger/overdue")
hand_back: Callable[..., int] = positional("ledger/hand_back")
overtaken: Callable[..., int] = positional("ledger/overtaken")
