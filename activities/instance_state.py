"""The instance's state and its evacuation's record: checks, begin, the points of no return, and the end."""

from collections.abc import Callable
from functools import partial

from temporalio import activity

from activities.elsewhere import Elsewhere
from activities.power import PowerReader
from evacuation import messages as m
from evacuation.fencing import FencingPolicy
from evacuation.ledger import StartMark
from evacuation.model import EvidenceKind
from evacuation.ports import EvacuationStore, FencingDriver, StorageFence
from evacuation.request import check


def _none_known(instance_id: str) -> StartMark | None:
    """Without a client there is nobody to ask."""


class InstanceStateActivities:
    def __init__(
        self,
        store: EvacuationStore,
        fencing: FencingDriver,
        *,
        power: PowerReader,
        policy: FencingPolicy | None = None,
        storage: StorageFence | None = None,
        last_start: Callable[[str], StartMark | None] = _none_known,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """`last_start`: what the latest evacuation of an instance has written down of the ledger."""
        self._store = store
        self._last_start = last_start
        self._fencing = fencing
        self._power = power
        self._policy = policy or FencingPolicy()
        self._storage = storage
        self._elsewhere = elsewhere or Elsewhere()
        self.all = [
            self.check_request,
            self.begin_evacuation,
            self.record_preparation,
            self.authorize_spawn,
            self.call_off_attempt,
            self.record_guest_gone,
            self.finish_evacuation,
            self.abandon_evacuation,
        ]

    @activity.defn(no_thread_cancel_exception=True)
    def check_request(self, request: m.EvacuationRequest) -> m.CheckedRequest:
        """Every check that the store can decide, before anything is written or powered off. Where the guest was seen
        elsewhere, its hosts are asked whether it still is."""
        return self._elsewhere.unless_over(partial(self._check, request), request.instance_id)

    def _check(self, request: m.EvacuationRequest) -> m.CheckedRequest:
        witnessed = self._last_start(request.instance_id)
        facts = self._store.check_facts(request.instance_id, request.target, witnessed)
        checked = check(request, facts, can_fence=self._can_fence(facts.instance))
        return checked.model_copy(update={"witnessed": witnessed})

    def _can_fence(self, instance: m.InstanceSnapshot) -> bool:
        """Whether anything here, without a person, makes evidence that counts."""
        if self._policy.counts(EvidenceKind.POWER_OFF) and self._fencing.is_able(instance.source):
            return True
        storage = self._storage if self._policy.counts(EvidenceKind.STORAGE_REVOKED) else None
        return storage is not None and storage.is_able(instance.id)

    @activity.defn(no_thread_cancel_exception=True)
    def begin_evacuation(self, message: m.Begin) -> m.Begun:
        """task_state rebuilding by compare-and-swap, action, migration `accepted`; or an open row adopted. Never by a
        ledger that is behind what the latest evacuation of the instance has written down."""
        return self._power.first(lambda: self._store.begin(message))

    @activity.defn(no_thread_cancel_exception=True)
    def record_preparation(self, message: m.RecordPreparation) -> m.Done:
        """Migration `pre-migrating`; task_state rebuilding confirmed under its guard."""
        self._power.first(lambda: self._store.record_preparation(message))
        return m.Done()

    @activity.defn(no_thread_cancel_exception=True)
    def authorize_spawn(self, message: m.AuthorizeSpawn) -> m.Authorized:
        """No host that answers has the guest. Then in one transaction: every other residence proven empty, the
        destination's residence written."""
        authorize = partial(self._power.first, partial(self._store.authorize_spawn, message))
        return self._elsewhere.before(authorize, message.ref.instance_id, message.since)

    @activity.defn(no_thread_cancel_exception=True)
    def call_off_attempt(self, ref: m.AttemptRef) -> m.CalledOff:
        """Nothing is authorised from here on; whether it was already, so that the destination has to be asked, and
        whether the guest has lost its disks there meanwhile."""
        authorized = self._store.call_off(ref)
        return m.CalledOff(authorized=authorized, bereft=authorized and self._store.is_bereft(ref))

    @activity.defn(no_thread_cancel_exception=True)
    def record_guest_gone(self, message: m.RecordGuestGone) -> m.Done:
        """The destination's answer, or its fence, becomes the proof of the attempt's residence."""
        self._power.first(lambda: self._store.record_guest_gone(message))
        return m.Done()

    @activity.defn(no_thread_cancel_exception=True)
    def abandon_evacuation(self, message: m.AbandonEvacuation) -> m.Done:
        """Close the evacuation without a recovery (docs/design.md#how-an-evacuation-ends)."""
        self._power.first(lambda: self._store.abandon(message))
        return m.Done()

    @activity.defn(no_thread_cancel_exception=True)
    def finish_evacuation(self, message: m.FinishEvacuation) -> m.Done:
        """The start is recorded; then, in one transaction: host, vm_state, task_state none, power_state, migration
        `done`. Forward only."""
        self._store.record_start(message.ref)
        self._store.finish(message)
        return m.Done()
