"""The steps of the ledger: one Lua script each (ledger.py explains them).

Each takes any number of runs. A call from Lua costs more than its work, so the scripts read and
write many fields with one command where they can.
"""

from cron_tasks.store.scripts import Script, script

advance: Script[list[str]] = script("ledger/advance")
advance_batch: Script[list[str]] = script("ledger/advance_batch")
conclude: Script[list[str] | int] = script("ledger/conclude")
take_out: Script[int] = script("ledger/take_out")
open: Script[list[str]] = script("ledger/open")
claim: Script[list[str | list[str] | int]] = script("ledger/claim")
renew: Script[list[str]] = script("ledger/renew")
hand_over: Script[str] = script("ledger/hand_over")
finish: Script[tuple[list[str], list[str]]] = script("ledger/finish")
stop: Script[list[str]] = script("ledger/stop")
overdue: Script[list[list[str]]] = script("ledger/overdue")
overdue_batches: Script[list[tuple[str, str]]] = script("ledger/overdue_batches")
hand_back: Script[int] = script("ledger/hand_back")
list_overtaken: Script[int] = script("ledger/list_overtaken")
tell_late: Script[int] = script("ledger/tell_late")
tell_digest: Script[int] = script("ledger/tell_digest")
