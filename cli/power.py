"""The power of embedded hosts, and an operator's word about any host."""

import asyncio
import getpass
import time
from datetime import UTC, datetime

from temporalio.client import Client
from temporalio.service import RPCError

from cli.access import connect, open_store
from cli.failures import NOT_THERE, answered
from cli.output import say
from embedded.readiness import ask_host
from embedded.stack import require_stack
from evacuation.errors import HostAnswersError, MalformedRequestError, NotTheStackError, TemporalUnavailableError
from evacuation.model import Evidence, EvidenceKind
from evacuation.names import evacuate_instance_id
from services.hypervisors.process import ProcessHost
from services.settings import Settings

RETURN_TIMEOUT = 60.0


def kill(settings: Settings, host: str) -> None:
    """Returns when nothing of the host is left. Writes nothing to the store."""
    _embedded(settings, host).power_off()


def start(settings: Settings, host: str, *, wait: bool) -> None:
    """A host that is on already stays as it is."""
    power = _embedded(settings, host)
    require_stack(settings.state_dir)
    incarnation = power.power_on()
    if not wait:
        say(f"{host} boots as {incarnation}")
        return
    if _is_up(host, incarnation, settings):
        say(f"{host} is up")


def _embedded(settings: Settings, host: str) -> ProcessHost:
    power = ProcessHost(settings.state_dir, host)
    if not power.exists():
        raise NotTheStackError(f"{host} is not a host of an embedded stack in {settings.state_dir}")
    return power


def _is_up(host: str, incarnation: str, settings: Settings) -> bool:
    """False, with the reason said, when it is held for longer than a person wants to wait."""
    deadline = time.monotonic() + RETURN_TIMEOUT
    with open_store() as services:
        while time.monotonic() < deadline:
            view = next(each for each in services.views.hosts() if each.name == host)
            if view.incarnation == incarnation and view.state == "up":
                return True
            held = [e.instance for e in services.views.evacuations() if e.open and e.source == host]
            if view.incarnation == incarnation and held:
                say(f"{host} is back and held: the evacuation of {', '.join(held)} still relies on its fence")
                return False
            time.sleep(0.1)
    say(f"{host} is powered on and not up yet: see {settings.state_dir}/logs/host-{host}.log")
    return False


def confirm_off(settings: Settings, host: str, statement: str) -> None:
    """The word is about the boot that was known before the host was asked: one that comes up meanwhile is not off.

    Raises HostAnswersError, TemporalUnavailableError."""
    if not statement.strip():
        raise MalformedRequestError("--confirmed-off is empty", remedy="say how you know that the host is off")
    incarnation = _incarnation(host)
    asyncio.run(_refuse_if_it_answers(settings, host))
    waiting = _record(host, incarnation, statement.strip())
    if _incarnation(host) == incarnation:
        say(f"recorded: {host} is down, by your word")
    else:
        say(f"recorded, but {host} has come up meanwhile, and your word is not about the boot that is there now")
    asyncio.run(_tell(settings, waiting))


def _incarnation(host: str) -> str | None:
    with open_store() as services:
        return next(each.incarnation for each in services.views.hosts() if each.name == host)


def _record(host: str, incarnation: str | None, statement: str) -> set[str]:
    """The instances whose evacuation may wait for the word."""
    word = Evidence(
        kind=EvidenceKind.OPERATOR,
        host=host,
        incarnation=incarnation,
        who=getpass.getuser(),
        reason=statement,
        at=datetime.now(UTC),
    )
    with open_store() as services:
        services.evidence.record_evidence(word)
        waiting = {each.instance_id for each in services.views.evacuations() if each.open}
        return waiting | {each.id for each in services.views.instances() if each.host == host}


async def _refuse_if_it_answers(settings: Settings, host: str) -> None:
    if await ask_host(await connect(settings), host) is not None:
        raise HostAnswersError(f"{host} answers: it is not off", remedy="switch it off first")


async def _tell(settings: Settings, instances: set[str]) -> None:
    """Evacuations that wait for this word look again at once; one that ended meanwhile need not. The word is recorded
    in any case."""
    try:
        client = await connect(settings)
        for instance in instances:
            await _look_again(client, instance)
    except TemporalUnavailableError as error:
        say(f"evacuations that wait for it look again by themselves: {error.message}")


async def _look_again(client: Client, instance: str) -> None:
    with answered():
        try:
            await client.get_workflow_handle(evacuate_instance_id(instance)).signal("look_again")
        except RPCError as error:
            if error.status not in NOT_THERE:
                raise
