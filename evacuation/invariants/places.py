"""I1 and I2: one place at a time, and none without the proof that every other one is empty."""

from collections.abc import Iterator

from evacuation.epochs import has_mark_of
from evacuation.invariants.breach import Case, Rule, case
from evacuation.invariants.seen import SeenGuest, SeenResidence, SeenSighting
from evacuation.invariants.world import World
from evacuation.messages import AttemptPhase
from evacuation.model import EvidenceKind, VmState


def copies(world: World) -> Iterator[Case]:
    for instance_id, guests in world.guests_of.items():
        found = [guest for guest in guests if guest.writes and not _has_lost_its_disks(world, guest)]
        if len(found) > 1:
            where = ", ".join(f"{guest.host} {guest.known_by}" for guest in found)
            yield case(world.name(instance_id), number=len(found), where=where)


def residences(world: World) -> Iterator[Case]:
    for instance_id, rows in world.unproven.items():
        if len(rows) > 1:
            where = ", ".join(f"{row.host} (epoch {row.epoch})" for row in rows)
            yield case(world.name(instance_id), number=len(rows), where=where)


def false_evidence(world: World) -> Iterator[Case]:
    for host in world.rows.hosts:
        alive = [g for g in world.guests if host.fenced and (g.host, g.incarnation) == (host.name, host.incarnation)]
        if alive:
            yield case(host.name, names=", ".join(sorted({world.name(guest.instance_id) for guest in alive})))


def not_allowed(world: World) -> Iterator[Case]:
    for guest in world.guests:
        if guest.writes and not _is_allowed(world, guest) and not _has_lost_its_disks(world, guest):
            about = f"epoch {guest.epoch} on {guest.host}"
            found = f"epoch {guest.epoch} runs on {guest.host}" + (f" (pid {guest.pid})" if guest.pid else "")
            places = (f"{row.host} (epoch {row.epoch})" for row in world.unproven.get(guest.instance_id, []))
            its = f": its place is {' or '.join(places)}" if guest.instance_id in world.unproven else ""
            yield case(world.name(guest.instance_id), about, found=found, its=its, then=_what_to_do(world, guest))


def _what_to_do(world: World, guest: SeenGuest) -> str:
    """Only a copy beside another one, of an epoch that this store has given, is a leftover for sure."""
    row = world.instances.get(guest.instance_id)
    alone = sum(each.writes for each in world.guests_of[guest.instance_id]) == 1
    if alone and any(has_mark_of(each.epoch, guest.epoch) for each in world.unproven.get(guest.instance_id, [])):
        moved = f"evacuate instance moved {world.name(guest.instance_id)}"
        return f"it is the only copy that is seen: if it was migrated: {moved}; else ask its owner"
    if alone:
        return "it is the only copy that is seen: run: evacuate store reconcile; ask its owner before anything is ended"
    if row is None or guest.epoch > row.epoch:
        return "this store has not given its epoch: run: evacuate store reconcile; ask before anything is ended"
    return f"destroy it on {guest.host}: its place was proven empty, or never given"


def _is_allowed(world: World, guest: SeenGuest) -> bool:
    """By a residence of that very boot: one of an older boot is proven empty by the newer one."""
    return any(
        row.host == guest.host and has_mark_of(row.epoch, guest.epoch) and row.incarnation in (None, guest.incarnation)
        for row in world.unproven.get(guest.instance_id, [])
    )


def _has_lost_its_disks(world: World, guest: SeenGuest) -> bool:
    """For good, and nobody could switch its host off: it is left alone until that serves again."""
    row = world.residences.get((guest.instance_id, guest.epoch))
    if row is None or row.proof != EvidenceKind.STORAGE_REVOKED or world.is_in_service(guest.host):
        return False
    return (row.host, row.incarnation) == (guest.host, guest.incarnation)


def unproven_past(world: World) -> Iterator[Case]:
    newest = {row.instance_id: row.epoch for row in sorted(world.rows.residences, key=lambda row: row.epoch)}
    for instance_id, rows in world.unproven.items():
        if len(rows) == 1 and rows[0].epoch < newest[instance_id]:
            yield case(world.name(instance_id), host=rows[0].host, epoch=rows[0].epoch)


def lives_elsewhere(world: World) -> Iterator[Case]:
    for instance in world.at_rest.values():
        rows = world.unproven.get(instance.id, [])
        if len(rows) == 1 and rows[0].host != instance.host:
            yield case(instance.name, recorded=instance.host, host=rows[0].host, epoch=rows[0].epoch)


def nowhere(world: World) -> Iterator[Case]:
    for instance in world.in_place:
        if not world.unproven.get(instance.id):
            yield case(instance.name, vm_state=instance.vm_state, host=instance.host)


def of_another_boot(world: World) -> Iterator[Case]:
    """What another boot is recorded for counts as proven empty as soon as anybody asks."""
    for instance in world.in_place:
        host = world.hosts[instance.host or ""]
        for row in world.unproven.get(instance.id, []):
            if row.host == host.name and row.incarnation != host.incarnation:
                yield case(instance.name, host=host.name, boot=row.incarnation or "unknown", now=host.incarnation)


def misplaced(world: World) -> Iterator[Case]:
    """As far as hosts have said since, in a boot that is not over, and is not proven off. What is looked at now is over
    where it is not there any more."""
    for seen in world.rows.sightings:
        row, host = world.instances.get(seen.instance_id), world.hosts.get(seen.host)
        over = host is None or host.incarnation != seen.incarnation or host.fenced
        returns = world.returning is not None and seen.host in world.returning
        lives = [each.host for each in world.unproven.get(seen.instance_id, []) if each.host != seen.host]
        covered = any(_covers(each, seen) for each in world.unproven.get(seen.instance_id, []))
        over = over or returns or covered or _is_gone(world, seen)
        if row is not None and row.vm_state != VmState.DELETED and not over:
            at = lives[0] if lives else row.host or "no host"
            yield case(row.name, seen.host, host=seen.host, state=seen.state, epoch=seen.epoch, lives=at)


def _is_gone(world: World, seen: SeenSighting) -> bool:
    looked = world.boots.get(seen.host) == seen.incarnation
    return looked and all(each.host != seen.host for each in world.guests_of.get(seen.instance_id, []))


def _covers(residence: SeenResidence, seen: SeenSighting) -> bool:
    return residence.host == seen.host and residence.incarnation in (None, seen.incarnation)


def epoch_below(world: World) -> Iterator[Case]:
    given: dict[str, int] = {}
    for row in (*world.rows.residences, *world.rows.attempts):
        given[row.instance_id] = max(row.epoch, given.get(row.instance_id, 0))
    for instance in world.rows.instances:
        if instance.epoch < given.get(instance.id, 0):
            yield case(instance.name, last=instance.epoch, given=given[instance.id])


def start_without_residence(world: World) -> Iterator[Case]:
    for row in world.in_flight.values():
        found = world.residences.get((row.instance_id, row.epoch or 0))
        here = found is not None and (found.host, found.evacuation_id, found.attempt) == (
            row.destination,
            row.id,
            row.attempt,
        )
        if row.phase in (AttemptPhase.AUTHORIZED, AttemptPhase.STARTED) and not here:
            yield case(row.instance, attempt=row.attempt, host=row.destination or "a host that is not recorded")


def residence_without_start(world: World) -> Iterator[Case]:
    for row in world.in_flight.values():
        found = world.residences.get((row.instance_id, row.epoch or 0))
        if row.phase == AttemptPhase.FORWARD and found is not None:
            yield case(row.instance, attempt=row.attempt, host=found.host, epoch=found.epoch)


RULES: tuple[Rule, ...] = (
    Rule(
        "copies",
        "I1",
        copies,
        "{number} copies run: {where}",
        "stop all but the one whose residence is unproven, then check the disk's data",
    ),
    Rule(
        "residences",
        "I1",
        residences,
        "it may run in {number} places, none proven empty: {where}",
        "prove all but one empty; the store's unique index on unproven residences is missing",
    ),
    Rule(
        "false-evidence",
        "I2",
        false_evidence,
        "its fence is recorded, and {names} still live there in the same boot: the evidence was false",
        "cut the power of {subject} for real before anything else is evacuated from it",
    ),
    Rule(
        "not-allowed",
        "I2",
        not_allowed,
        "{found}, and no residence allows it{its}",
        "{then}",
    ),
    Rule(
        "unproven-past",
        "I2",
        unproven_past,
        "a newer residence was given, and the one on {host} (epoch {epoch}) has no proof",
        "prove {host} empty, and stop the newer guest until then",
    ),
    Rule(
        "lives-elsewhere",
        "I2",
        lives_elsewhere,
        "it is recorded on {recorded}, and it may run on {host} (epoch {epoch})",
        "prove {host} empty, and ask again: evacuate instance evacuate {subject}",
    ),
    Rule(
        "nowhere",
        "I2",
        nowhere,
        "it is {vm_state} on {host}, which is up, and no residence is there: every place of it was proven empty",
        "boot {host} again: its return gives it a residence",
    ),
    Rule(
        "of-another-boot",
        "I2",
        of_another_boot,
        "its residence on {host} is of boot {boot}, and {host} is up in boot {now}",
        "boot {host} again: its return gives it a residence; evacuate nothing of it until then",
    ),
    Rule(
        "misplaced",
        "I2",
        misplaced,
        "it was seen {state} on {host} (epoch {epoch}), and its residence is on {lives}: nothing of it starts",
        "if it was migrated: evacuate instance moved {subject}; else stop the copy on {host}",
    ),
    Rule(
        "epoch-below",
        "I2",
        epoch_below,
        "its last epoch is {last}, and {given} was given already: one would be given twice",
        "set its last epoch to {given} at least before it is evacuated or started again",
    ),
    Rule(
        "start-without-residence",
        "I2",
        start_without_residence,
        "attempt {attempt} is authorised, and no residence on {host} belongs to it",
        "end that attempt: evacuate instance cancel {subject}; then see that nothing of it runs on {host}",
    ),
    Rule(
        "residence-without-start",
        "I2",
        residence_without_start,
        "attempt {attempt} is not authorised, and it has the residence on {host} (epoch {epoch}) already",
        "end that attempt: evacuate instance cancel {subject}; then see that nothing of it runs on {host}",
    ),
)
