"""What is to be told of a host beside its state, a line each."""

from collections.abc import Iterator

from evacuation.capabilities import HostCapabilities, PutOff, SeenDomain
from evacuation.request import accept_remedy
from evacuation.silence import silence
from evacuation.views import HostView


def remarks(host: HostView) -> Iterator[str]:
    if host.alarm is not None:
        yield f"{host.name}: {host.alarm}"
    if host.silent:
        yield (
            f"{silence(host.name, host.last_seen)}: start its worker if it lives; if it is dead: "
            f"evacuate host down {host.name} --power-off, and evacuate what was there"
        )
    if host.refused is not None:
        when = "if it is the new board, or was reinstalled"
        yield (
            f"{host.name}: refused at {host.refused.refused_at:%Y-%m-%d %H:%M:%S} UTC: {host.refused.why}; "
            f"{accept_remedy(host.name, when)}"
        )
    if host.incarnation in host.boots_before:
        yield f"{host.name}: waits for {_awaited(host)}: start its host worker there"
    for each in host.replaced:
        if each.seen_at is not None:
            yield (
                f"{host.name}: what it was before ({each}, boot {each.incarnation}) was said to be gone, and was heard "
                f"of at {each.seen_at:%Y-%m-%d %H:%M:%S} UTC: its guests may run twice; switch it off, then say so: "
                f'evacuate host accept {host.name} --confirmed-gone "who saw it off, how"'
            )


def _awaited(host: HostView) -> str:
    return f"hypervisor {host.hypervisor_uuid}" if host.hypervisor_uuid else "another board, whichever comes first"


def notes_of_host(said: HostCapabilities) -> Iterator[str]:
    """By what it reports of itself."""
    if said.held is False:
        yield (
            "evacuate-hold.service is not enabled there: at its power-on libvirt starts what has autostart, and "
            "libvirt-guests what ran, before the host is reconciled; install it: docs/deploy.md"
        )


def notes_of_guest(said: HostCapabilities, instance_id: str) -> Iterator[str]:
    """By what its host reports of it."""
    yield from (_autostart(each) for each in said.autostarts if each.id == instance_id)
    yield from (_saved(each) for each in said.domains if each.id == instance_id and is_saved(each))
    yield from (line for each in said.domains if each.id == instance_id for line in _of_its_run(each))


HALTED = {
    "crashed": "it holds its disks and does nothing: start it again: evacuate instance start {name}",
    "paused by an I/O error": "make room on its storage, or mend it, and run there: virsh resume {name}",
    "migrating": "it goes on when that has ended: virsh domjobinfo {name}",
}
"""What to do, by state."""


def _of_its_run(domain: SeenDomain) -> Iterator[str]:
    if domain.state in HALTED:
        yield f"{domain.name} is {domain.state} there: {HALTED[domain.state].format(name=domain.name)}"
    if domain.named:
        yield (
            f"{domain.name} writes to {', '.join(domain.disks or ())}, and its definition there names "
            f"{', '.join(domain.named)}: elsewhere it goes on from what it writes to, a start by virsh would not; "
            f"define it as it runs: virsh dumpxml {domain.name}, virsh define"
        )


def is_saved(domain: SeenDomain) -> bool:
    """A followed guest that does not run, and whose next start would go on from a saved memory."""
    return not domain.active and bool(domain.managed_save) and bool(domain.epoch)


def _autostart(found: PutOff) -> str:
    if found.why_not:
        return (
            f"autostart of {found.name} is on, and cannot be put off: {found.why_not}: "
            f"run there: virsh autostart --disable {found.name}"
        )
    return f"autostart of {found.name} was on at {found.at:%Y-%m-%d %H:%M:%S} UTC and is off again: see who sets it"


def _saved(domain: SeenDomain) -> str:
    return (
        f"{domain.name} has a managed save: elsewhere it comes back without that memory; "
        f"if nobody needs it, run there: virsh managedsave-remove {domain.name}"
    )
