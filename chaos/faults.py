"""Every fault, by when it comes. Each mends itself before it returns."""

from collections.abc import Callable

from chaos import members, servers, syncs
from chaos.deletions import DELETIONS
from chaos.world import World

Fault = Callable[[World], str]
#: What the attack, and in a long one each round, begins with. Nobody can judge what was before.
OPENINGS: tuple[Fault, ...] = (servers.lose_everything, syncs.lose_everything_in_a_sync)
#: Where the broker is a server of its own.
BROKER_FAULTS: tuple[Fault, ...] = (servers.restart_the_broker, servers.freeze_the_broker)
#: What takes so long that only long attacks have the time.
LONG_FAULTS: tuple[Fault, ...] = (servers.freeze_redis_long,)
FAULTS: tuple[Fault, ...] = (
    members.beat_dies_at_an_instant,
    members.worker_dies_at_an_instant,
    members.worker_dies_at_an_instant,
    members.kill_beat,
    members.stop_beat,
    members.freeze_beat,
    members.kill_worker,
    members.stop_worker,
    members.freeze_worker,
    servers.freeze_redis,
    servers.restart_redis,
    servers.read_only_redis,
    servers.full_redis,
    servers.cut_connections,
    servers.write_garbage,
    servers.lose_the_lock,
    servers.kill_the_target,
    servers.break_the_rest_service,
    members.shift_a_clock,
    syncs.edit_the_long_list,
    syncs.edit_the_long_list,
    syncs.flap_the_list,
    syncs.kill_a_sync,
    syncs.kill_a_sync,
    syncs.freeze_a_sync,
    syncs.freeze_a_sync,
    syncs.add_costly_rows,
    *DELETIONS,
)
