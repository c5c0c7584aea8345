"""All faults, grouped by when they come. Each repairs its damage before it returns."""

from collections.abc import Callable

from chaos import members, servers, syncs
from chaos.deletions import DELETIONS
from chaos.world import World

Fault = Callable[[World], str]
#: The faults with which an attack, and each round of a long one, begins. Earlier runs cannot be
#: checked.
OPENINGS: tuple[Fault, ...] = (servers.lose_everything, syncs.lose_everything_in_a_sync)
#: Faults for a broker on a separate server.
BROKER_FAULTS: tuple[Fault, ...] = (servers.restart_the_broker, servers.freeze_the_broker)
#: Faults that take so long that only long attacks have time for them.
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
