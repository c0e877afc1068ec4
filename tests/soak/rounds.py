"""One round: hosts die, what lived there is evacuated in every way there is, hosts come back."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from temporalio.client import Client
from temporalio.service import RPCError

from control.deletions import delete
from evacuation.errors import EvacuateError
from evacuation.messages import EvacuationOutcome
from evacuation.model import HostState
from evacuation.views import HostView, InstanceView
from services.hypervisors.process import ProcessHost
from services.runtime.settings import Settings
from services.runtime.stack_record import settings_for
from tests.chaos.evacuations import Evacuations
from tests.chaos.verify import how_it_ended
from tests.soak.chance import Ask, Death, ask, deaths
from tests.support.stack import Stack

PAUSE = 0.5


class Tally:
    """How evacuations ended: recovered ones, and the others by reason."""

    def __init__(self) -> None:
        self.done = 0
        self.deleted = 0
        self.idle = 0
        """Rounds in a row in which nobody was recovered."""
        self.reasons: Counter[str] = Counter()
        self._done_before = 0

    def note(self, ended: str, error_type: str | None) -> None:
        if ended == "recovered":
            self.done += 1
        elif ended == "deleted":
            self.deleted += 1
        else:
            self.reasons[error_type or ended] += 1

    def end_round(self) -> None:
        self.idle = 0 if self.done > self._done_before else self.idle + 1
        self._done_before = self.done


class Rounds:
    """The stack is up. `open` names what is under way, for a person who wonders why it does not end."""

    def __init__(self, stack: Stack, client: Client, seed: str, tally: Tally) -> None:
        self._stack = stack
        self._client = client
        self._seed = seed
        self._tally = tally
        self.open: set[str] = set()
        self.evacuations = Evacuations(client, [], settings_for().tuning)

    async def play(self, number: int) -> None:
        """Returns when every evacuation of the round has ended. Hosts that are off at its beginning are powered on in
        it, also those that had come back and were fenced once more; and of those that die now, those that are to be."""
        instances, hosts = await self._look()
        self.evacuations = Evacuations(self._client, instances, settings_for().tuning)
        up = [host.name for host in hosts if host.state == HostState.UP]
        names = [host.name for host in hosts]
        # The last host lives on, and its worker with it: so long that its memory can be judged.
        mortal = [name for name in up if name != names[-1]]
        fewest = fewest_up(len(hosts)) - (len(up) - len(mortal))
        peopled = {each.host for each in instances if each.host and each.vm_state != "deleted"}
        dying = deaths(self._seed, number, mortal, fewest, peopled=peopled)
        async with asyncio.TaskGroup() as tasks:
            for host in sorted({*names} - {*up}):
                tasks.create_task(self._power_on(host))
            for death in dying:
                tasks.create_task(self._die(death))
                mine = [each for each in instances if each.host == death.host and each.vm_state != "deleted"]
                for each in mine:
                    asked = spared(ask(self._seed, number, each.name, names), instances)
                    tasks.create_task(self._evacuate(each, asked, death.after + asked.after))

    async def bring_back(self) -> None:
        """Every host is powered on."""
        _, hosts = await self._look()
        for host in hosts:
            await self._power_on(host.name)

    async def _look(self) -> tuple[Sequence[InstanceView], Sequence[HostView]]:
        """A store that is away just now comes back."""
        while True:
            try:
                return await asyncio.to_thread(self._read)
            except EvacuateError:
                await asyncio.sleep(PAUSE)

    def _read(self) -> tuple[Sequence[InstanceView], Sequence[HostView]]:
        with self._stack.services() as services:
            return services.views.instances(), services.views.hosts()

    async def _die(self, death: Death) -> None:
        await asyncio.sleep(death.after)
        await asyncio.to_thread(self._power(death.host).power_off)
        if death.back is not None:
            await asyncio.sleep(death.back)
            await self._power_on(death.host)

    async def _power_on(self, host: str) -> None:
        await asyncio.to_thread(self._power(host).power_on)

    def _power(self, host: str) -> ProcessHost:
        """As `host kill` and `host start`, which write to the console."""
        return ProcessHost(self._settings.state_dir, host)

    async def _evacuate(self, instance: InstanceView, asked: Ask, after: float) -> None:
        await asyncio.sleep(after)
        if asked.fate == "not asked for":
            return
        self.open.add(instance.name)
        name, evacuations = instance.name, self.evacuations
        asking = asyncio.create_task(evacuations.ask(name, priority=asked.priority, **asked.options))
        await self._interfere(instance, asked)
        await asking
        if asked.fate == "terminated":
            await asyncio.sleep(asked.again_after)
            await evacuations.ask(name, priority=asked.priority, **asked.options)
        await self._note(instance, asked)
        self.open.discard(name)

    async def _interfere(self, instance: InstanceView, asked: Ask) -> None:
        """What is not there (yet, or any more) cannot be cancelled, terminated or reset."""
        await asyncio.sleep(asked.fate_after)
        with suppress(RPCError):
            if asked.fate == "cancelled":
                await self.evacuations.cancel(instance.name)
            elif asked.fate == "terminated":
                await self.evacuations.terminate(instance.name)
            elif asked.fate == "reset":
                await self.evacuations.reset(instance.name)
        if asked.fate == "deleted":
            await self._delete(instance)

    async def _delete(self, instance: InstanceView) -> None:
        while True:
            try:
                return await delete(self._client, instance, self._settings.tuning)
            except EvacuateError:
                await asyncio.sleep(PAUSE)

    async def _note(self, instance: InstanceView, asked: Ask) -> None:
        refused = self.evacuations.refused.get(instance.name)
        if refused is not None:
            self._tally.note("refused", f"refused: {type(refused).__name__}")
            return
        outcome = await self.evacuations.end_of(instance.name)
        now = instance.model_copy(update={"vm_state": "deleted"}) if asked.fate == "deleted" else instance
        self._tally.note(how_it_ended(outcome, now), _reason(outcome))

    @property
    def _settings(self) -> Settings:
        return settings_for()


def fewest_up(hosts: int) -> int:
    """As many as can nearly hold the whole fleet."""
    return max(2, hosts * 3 // 5)


def spared(asked: Ask, fleet: Sequence[InstanceView]) -> Ask:
    """Nothing is created again: half of the fleet is never deleted, however long the soak."""
    alive = sum(each.vm_state != "deleted" for each in fleet)
    return asked.model_copy(update={"fate": "none"}) if asked.fate == "deleted" and alive * 2 <= len(fleet) else asked


def _reason(outcome: EvacuationOutcome | None) -> str | None:
    return outcome.error_type if outcome and outcome.outcome != "cancelled" else None
