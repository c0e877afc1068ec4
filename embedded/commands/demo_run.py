"""The demonstration: a fleet, a dead host, its instances back elsewhere, and the proof."""

import asyncio
from pathlib import Path

from cli.instances import COLUMNS
from cli.output import print_table, say
from cli.watching import follow
from control.access import connect, open_store, operator
from control.requests import Accepted, new_request_id, request_evacuation
from embedded.commands.stacks import make_ready
from embedded.demo import Proof, make_fleet, prove
from embedded.stack import UpOptions, bring_up
from evacuation.errors import EvacuateError
from evacuation.messages import EvacuationOutcome, EvacuationRequest
from evacuation.views import InstanceView
from services.hypervisors.process import ProcessHost
from services.runtime.fleet_file import write_fleet
from services.runtime.settings import Settings

DEAD = "cmp-1"
SHOWN = tuple(column for column in COLUMNS if column not in ("id", "fault", "priority", "project"))
PROOF = ("instance", "ran_on", "last_before", "first_after", "went_on", "two_copies")


def run_demo(directory: Path, *, hosts: int, instances: int) -> bool:
    """True if every instance of the dead host is back, once, with nothing lost, and no invariant is broken."""
    file = directory / "fleet.yaml"
    file.write_text(write_fleet(make_fleet(hosts, instances)), encoding="utf-8")
    say(f"starting {hosts} hosts and {instances} instances in {directory}")
    settings = make_ready(bring_up(directory, UpOptions(fleet=file)))
    before = _instances()
    print_table(before, SHOWN, title="Before")
    lost = [each for each in before if each.host == DEAD]
    say(f"killing {DEAD}, with {len(lost)} instances on it: {', '.join(each.name for each in lost)}")
    ProcessHost(settings.state_dir, DEAD).power_off()
    outcomes = asyncio.run(_evacuate_all(settings, lost))
    print_table(_instances(), SHOWN, title="After")
    proofs = _prove(settings, lost)
    sound = _check(settings)
    recovered = sum(outcome.outcome == "recovered" for outcome in outcomes)
    say(f"recovered {recovered} of {len(lost)}")
    if settings.ui_address:
        say(f"Web UI: http://{settings.ui_address}/namespaces/{settings.temporal_namespace}/workflows")
    return sound and recovered == len(lost) and all(proof.went_on and not proof.two_copies for proof in proofs)


def _instances() -> list[InstanceView]:
    with open_store() as services:
        return list(services.views.instances())


async def _evacuate_all(settings: Settings, lost: list[InstanceView]) -> list[EvacuationOutcome]:
    client = await connect(settings)

    async def ask(instance: InstanceView) -> Accepted | None:
        request = EvacuationRequest(request_id=new_request_id(), instance_id=instance.id, requested_by=operator())
        try:
            return await request_evacuation(client, instance, request, settings.tuning, join=False)
        except EvacuateError as error:
            say(f"{instance.name}: {error.line}")
            return None

    answers = await asyncio.gather(*(ask(instance) for instance in lost))
    handles = {each.id: answer.handle for each, answer in zip(lost, answers, strict=True) if answer is not None}
    outcomes = (await follow(handles)).values()
    for outcome in outcomes:
        if outcome.outcome != "recovered":
            say(f"{outcome.instance_id}: {outcome.outcome}: {outcome.reason}")
    return list(outcomes)


def _prove(settings: Settings, lost: list[InstanceView]) -> list[Proof]:
    now = {each.id: each.host for each in _instances()}
    proofs = [
        prove(settings.state_dir, each.id, each.name, dead=DEAD, now_on=now.get(each.id))
        for each in lost
        if each.power_state == "running"
    ]
    print_table(proofs, PROOF, title="What the disks say")
    return proofs


def _check(settings: Settings) -> bool:
    from control.check import check

    with open_store() as services:
        breaches = check(settings, services).breaches
    for breach in breaches:
        say(f"{breach.invariant} {breach.subject}: {breach.message}")
    say("check: no breach" if not breaches else f"check: {len(breaches)} breaches")
    return not breaches
