"""The checks of a request: every refusal, with its cause and its remedy, before anything is written or powered off."""

from datetime import timedelta

from evacuation.errors import (
    ContradictoryOptionsError,
    HostNotFoundError,
    InstanceNotFoundError,
    MalformedRequestError,
    Refusal,
    RootDiskNotSharedError,
    SourceAnswersError,
    SourceNotFencedError,
    TargetDisabledError,
    TargetIsSourceError,
    VmStateNotEvacuableError,
)
from evacuation.messages import CheckedRequest, EvacuationRequest, OpenEvacuation
from evacuation.model import Rejection, RootDisk, VmState
from evacuation.names import is_name
from evacuation.placement import place
from evacuation.poison import poison_in
from evacuation.ports import CheckFacts
from evacuation.sightings import misplaced
from evacuation.statements import require_statement
from evacuation.transitions import EVACUABLE

LONGEST_WAIT = timedelta(days=30)
MOST_OF_AN_ERROR = 300


def check(request: EvacuationRequest, facts: CheckFacts, *, can_fence: bool) -> CheckedRequest:
    """What the store can decide. Raises a Refusal.

    A stuck task_state is no reason to refuse, and neither is `evacuate: false` when the instance is named itself.
    What an evacuation that is adopted has changed itself is not held against the request."""
    _check_values(request)
    _check_target(request, facts)
    if facts.open is None:
        _check_instance(request, facts)
    else:
        _check_adoption(request, facts.instance.name, facts.open)
    instance = facts.instance
    if request.target_state is not None:
        instance = instance.model_copy(update={"wanted": VmState(request.target_state)})
    return CheckedRequest(
        instance=instance,
        source_incarnation=facts.source_incarnation,
        source_uuid=facts.source_uuid,
        evidence=facts.evidence,
        adopts=facts.open,
        can_fence=can_fence,
        also_stopped=facts.others_on_source,
        deleted=facts.instance_deleted,
        no_host=_dry_run(request, facts),
    )


def refuse_answering_source(facts: CheckedRequest, *, error: str = "") -> Refusal:
    """`error`: what its worker answered, if it was no plain answer."""
    host = facts.instance.source
    if error:
        return SourceAnswersError(
            f"host {host} answers, with an error ({error[:MOST_OF_AN_ERROR]}): {facts.instance.name} may run there",
            remedy=answered_with_error(host),
        )
    return SourceAnswersError(
        f"host {host} answers: it is up, and {facts.instance.name} may run there",
        remedy=f"stop the worker of {host} if the host is really lost, or migrate the instance instead",
    )


def answered_with_error(host: str) -> str:
    """How a host is proven off whose worker answers with errors."""
    return (
        f"if {host} is really lost, stop the worker that answers for it, and ask again; "
        f"or have it switched off: evacuate host down {host} --power-off"
    )


def accept_remedy(host: str, when: str) -> str:
    """How another board takes the name of a host."""
    return f'{when}: evacuate host accept {host} --confirmed-gone "who saw the old one off, how"'


def refuse_unfenced(request: EvacuationRequest, facts: CheckedRequest) -> Refusal | None:
    """Nothing proves the source off, and nothing could: no evidence, no driver that is able, nobody's word."""
    if facts.evidence is not None or facts.can_fence or request.source_confirmed_off is not None:
        return None
    host = facts.instance.source
    return SourceNotFencedError(
        f"host {host} is not fenced and no fencing driver can cut its power",
        remedy=f'power it off, then say: evacuate host down {host} --confirmed-off "who saw it, how" '
        f"(or --source-confirmed-off with this request)",
    )


def _check_values(request: EvacuationRequest) -> None:
    if request.target is not None and not is_name(request.target):
        raise MalformedRequestError(
            f"target {request.target!r} is not a host name", remedy="use letters, digits, dot, dash, underscore"
        )
    wait = request.wait_for_capacity
    if wait is not None and not timedelta(0) < wait <= LONGEST_WAIT:
        raise MalformedRequestError(f"cannot wait {wait} for capacity", remedy="give more than 0 and at most 30 days")
    if request.source_confirmed_off is not None:
        about = "the confirmation that the source is off"
        require_statement(request.source_confirmed_off, about, remedy="say who saw it off, and how")


def _check_target(request: EvacuationRequest, facts: CheckFacts) -> None:
    target = request.target
    if target is None:
        return
    if target not in facts.known_hosts:
        known = ", ".join(sorted(facts.known_hosts))
        raise HostNotFoundError(f"no host is called {target}", remedy=f"known hosts: {known}")
    if target == facts.instance.source:
        raise TargetIsSourceError(
            f"{facts.instance.name} is on {target} already: target equals source", remedy="name another host, or none"
        )
    if facts.open is not None:
        # It may be the destination that is asked for its guest: the claim decides about it afterwards.
        return
    host = next((h for h in facts.hosts if h.name == target), None)
    if host is None or not (host.enabled and host.up):
        state = "disabled" if host is not None and not host.enabled else "down"
        raise TargetDisabledError(f"target {target} is {state}", remedy="name another host, or none to have one chosen")


def _check_instance(request: EvacuationRequest, facts: CheckFacts) -> None:
    instance = facts.instance
    if facts.instance_deleted:
        raise InstanceNotFoundError(f"instance {instance.name} is deleted", remedy="see: evacuate instance list")
    if instance.vm_state not in EVACUABLE:
        raise VmStateNotEvacuableError(
            f"{instance.name} is {instance.vm_state}: only active, stopped and error instances are evacuated",
            remedy="reset its state first, if its host is lost",
        )
    if facts.seen and facts.open is None:
        # What a closed run has left open is ended first, by whoever takes it over: nothing starts on the way.
        raise misplaced(instance.name, instance.source, facts.seen)
    if request.target_state == "active" and instance.vm_state == VmState.STOPPED:
        raise ContradictoryOptionsError(
            f"{instance.name} is stopped and stays so: --target-state active contradicts that",
            remedy="evacuate it, then start it",
        )
    if instance.root_disk == RootDisk.LOCAL:
        raise RootDiskNotSharedError(
            f"the root disk of {instance.name} is local to {instance.source}: no other host can have it",
            remedy=f"repair {instance.source}, or rebuild the instance from its image or a backup",
        )
    poison = poison_in(instance.name, facts.losses)
    if poison is not None:
        raise poison


def _check_adoption(request: EvacuationRequest, name: str, left: OpenEvacuation) -> None:
    """`--target-state stopped` is honoured after the recovery: the guest may have started."""
    if request.target_state == "active" and left.wanted == VmState.STOPPED:
        raise ContradictoryOptionsError(
            f"an evacuation of {name} is open, and leaves it stopped: --target-state active contradicts that",
            remedy="ask without --target-state, then start it",
        )


def _dry_run(request: EvacuationRequest, facts: CheckFacts) -> tuple[Rejection, ...]:
    placement = place(facts.placement.model_copy(update={"target": request.target}), facts.hosts)
    return () if placement.chosen else placement.rejected
