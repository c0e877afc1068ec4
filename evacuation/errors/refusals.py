"""Errors raised before anything was written or powered off: the request is refused."""

from typing import TYPE_CHECKING

from evacuation.errors.base import EvacuateError

if TYPE_CHECKING:
    from evacuation.ledger import Witness
    from evacuation.model import Rejection


class Refusal(EvacuateError):
    """The request is refused; nothing was changed."""


class InstanceNotFoundError(Refusal):
    """No instance has that name or id."""


class AmbiguousNameError(Refusal):
    """Several instances have that name."""


class HostNotFoundError(Refusal):
    """No host has that name."""


class TargetDisabledError(Refusal):
    """The named target is disabled or down."""


class TargetIsSourceError(Refusal):
    """The named target is the host that the instance is on."""


class MalformedRequestError(Refusal):
    """A name or a value in the request is malformed."""


class ContradictoryOptionsError(Refusal):
    """Two options of the request cannot both hold."""


class VmStateNotEvacuableError(Refusal):
    """Only active, stopped and error instances are evacuated."""


class SourceAnswersError(Refusal):
    """The source host's own worker answered: the host is up."""


class SourceNotFencedError(Refusal):
    """Nothing proves that the source is off, and nothing can make it so."""


class RootDiskNotSharedError(Refusal):
    """The root disk died with the host."""


class PoisonousStartError(Refusal):
    """The instance's start has cost a destination its worker, or several their machines: it is sent to no other host
    before a person says so. In an evacuation that is under way it is waited for."""


class EvacuationRunningError(Refusal):
    """An evacuation of this instance is running already."""


class HostIdentityError(Refusal):
    """The host that answers is not the one that the fleet knows by this name."""


class HostOffError(Refusal):
    """The host is powered off."""


class HostDownError(Refusal):
    """The instance's host is not in service."""


class InstanceMisplacedError(Refusal):
    """The instance's guest was seen running where no residence is."""


class NotMovedError(Refusal):
    """The residence of the instance cannot follow its guest; the message says why."""


class VmStateError(Refusal):
    """An instance in that vm_state is not started, and not stopped."""


class FleetError(Refusal):
    """The fleet file is wrong; the message names file, line and field."""


class MalformedDefinitionError(Refusal):
    """A domain's XML cannot be understood."""


class NotAdoptableError(Refusal):
    """A host or a domain cannot be taken into the store as it is; the message says which and why."""


class DuplicateInstanceError(Refusal):
    """The same uuid or name is elsewhere already."""


class HostAlreadyServedError(Refusal):
    """Another worker of the host runs."""


class BmcFileError(Refusal):
    """The file of BMCs is wrong; the message names file, line and field, and quotes nothing of it."""


class FaultFileError(Refusal):
    """The faults file is wrong; the message names file, rule and field."""


class StateDirInUseError(Refusal):
    """Another stack runs in the state directory."""


class NotRunningError(Refusal):
    """What is to be watched, reported or cancelled does not run, or never ran."""


class TooLateError(Refusal):
    """The guest's start is in history: the evacuation only goes forward."""


class HostAnswersError(Refusal):
    """The host that is said to be off answers."""


class NotTheStackError(Refusal):
    """The command needs the embedded stack, or another one, than what runs."""


class HypervisorUnableError(Refusal):
    """The hypervisor cannot be used as it is set up; the message says what is missing."""


class StoreBehindError(Refusal):
    """Somebody has seen another ledger than this one, or a later state of it: it was restored, or the fleet is another
    store's. Nothing is started until it is reconciled."""

    def __init__(
        self, message: str, *, remedy: str = "", hosts: "tuple[Rejection, ...]" = (), witness: "Witness | None" = None
    ) -> None:
        super().__init__(message, remedy=remedy, hosts=hosts)
        self.witness = witness


class StoreOwnedError(Refusal):
    """The store belongs to another control plane."""
