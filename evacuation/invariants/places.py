"""I1 and I2: one place at a time, and none without the proof that every other one is empty."""

from collections.abc import Iterator

from evacuation.invariants.breach import Breach, Rule
from evacuation.invariants.world import SeenGuest, World


def one_copy(world: World) -> Iterator[Breach]:
    for instance_id, guests in world.guests_of.items():
        found = [guest for guest in guests if guest.writes]
        if len(found) > 1:
            where = ", ".join(f"{guest.host} (epoch {guest.epoch}, pid {guest.pid})" for guest in found)
            yield Breach(
                invariant="I1",
                subject=world.name(instance_id),
                message=f"{len(found)} copies run: {where}",
                remedy="stop all but the one whose residence is unproven, then check the disk's data",
            )


def one_residence(world: World) -> Iterator[Breach]:
    for instance_id, rows in world.unproven.items():
        if len(rows) > 1:
            where = ", ".join(f"{row.host} (epoch {row.epoch})" for row in rows)
            yield Breach(
                invariant="I1",
                subject=world.name(instance_id),
                message=f"it may run in {len(rows)} places, none proven empty: {where}",
                remedy="prove all but one empty; the store's unique index on unproven residences is missing",
            )


def true_evidence(world: World) -> Iterator[Breach]:
    for host in world.rows.hosts:
        alive = [g for g in world.guests if host.fenced and (g.host, g.incarnation) == (host.name, host.incarnation)]
        if alive:
            names = ", ".join(sorted({world.name(guest.instance_id) for guest in alive}))
            yield Breach(
                invariant="I2",
                subject=host.name,
                message=f"its fence is recorded, and {names} still live there in the same boot: the evidence was false",
                remedy=f"cut the power of {host.name} for real before anything else is evacuated from it",
            )


def allowed_guest(world: World) -> Iterator[Breach]:
    for guest in world.guests:
        if guest.writes and not _is_allowed(world, guest):
            yield Breach(
                invariant="I2",
                subject=world.name(guest.instance_id),
                message=f"epoch {guest.epoch} runs on {guest.host} (pid {guest.pid}), and no residence allows it",
                remedy=f"destroy it on {guest.host}: its place was proven empty, or never given",
            )


def _is_allowed(world: World, guest: SeenGuest) -> bool:
    """By a residence of that very boot: one of an older boot is proven empty by the newer one."""
    return any(
        (row.host, row.epoch) == (guest.host, guest.epoch) and row.incarnation in (None, guest.incarnation)
        for row in world.unproven.get(guest.instance_id, [])
    )


def proven_past(world: World) -> Iterator[Breach]:
    newest = {row.instance_id: row.epoch for row in sorted(world.rows.residences, key=lambda row: row.epoch)}
    for instance_id, rows in world.unproven.items():
        if len(rows) == 1 and rows[0].epoch < newest[instance_id]:
            yield Breach(
                invariant="I2",
                subject=world.name(instance_id),
                message=f"a newer residence was given, and the one on {rows[0].host} (epoch {rows[0].epoch}) "
                "has no proof",
                remedy=f"prove {rows[0].host} empty, and stop the newer guest until then",
            )


def lives_where_recorded(world: World) -> Iterator[Breach]:
    for instance in world.at_rest.values():
        rows = world.unproven.get(instance.id, [])
        if len(rows) == 1 and rows[0].host != instance.host:
            yield Breach(
                invariant="I2",
                subject=instance.name,
                message=f"it is recorded on {instance.host}, and it may run on {rows[0].host} (epoch {rows[0].epoch})",
                remedy=f"prove {rows[0].host} empty, and ask again: evacuate instance evacuate {instance.name}",
            )


RULES: tuple[Rule, ...] = (
    one_copy,
    one_residence,
    true_evidence,
    allowed_guest,
    proven_past,
    lives_where_recorded,
)
