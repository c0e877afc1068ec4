"""The error tree. A class's name is its stable type, in workflow failures, in the CLI's JSON and in the outcome.

`retryable` says whether the same call may succeed later without anybody's help; `benign` marks an expected
"not yet". A `Refusal` was raised before anything was written or powered off.
"""

from typing import ClassVar

from pydantic import Field

from evacuation.model import Frozen, Rejection


class ErrorDetail(Frozen):
    """What travels with a failure: one line for a person, what to do, and the hosts that were rejected."""

    message: str
    remedy: str = ""
    hosts: tuple[Rejection, ...] = Field(default=())


class EvacuateError(Exception):
    """Base of every error that this project raises on purpose."""

    retryable: ClassVar[bool] = False
    benign: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str = "", hosts: tuple[Rejection, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.hosts = hosts

    @property
    def detail(self) -> ErrorDetail:
        return ErrorDetail(message=self.message, remedy=self.remedy, hosts=self.hosts)

    @property
    def line(self) -> str:
        """Cause and remedy in one line, neither said twice."""
        return self.message if self.remedy in self.message else f"{self.message}: {self.remedy}"


class Refusal(EvacuateError):
    """The request is refused; nothing was changed."""


class InstanceNotFoundError(Refusal):
    """No instance has that name or id."""


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


class EvacuationRunningError(Refusal):
    """An evacuation of this instance is running already."""


class HostIdentityError(Refusal):
    """The host that answers is not the one that the fleet knows by this name."""


class HostOffError(Refusal):
    """The host is powered off."""


class FleetError(Refusal):
    """The fleet file is wrong; the message names file, line and field."""


class MalformedDefinitionError(Refusal):
    """A domain's XML is not to be understood."""


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


class NotReadyError(EvacuateError):
    """What was started is not ready in time."""


class FenceFailedError(EvacuateError):
    """The host could not be proven off."""

    retryable = True


class EvidenceMissingError(FenceFailedError):
    """What could be had without a person is had, and the fencing policy asks for more."""

    retryable = False


class StorageNotRevokedError(FenceFailedError):
    """The guest's disks could not all be taken away from the host."""


class BmcUnreachableError(FenceFailedError):
    """The host's BMC does not answer, or answers with an error of its own."""


class BmcCredentialsError(FenceFailedError):
    """The host's BMC refuses the user name or the password, or the account may not switch power."""

    retryable = False


class BmcTlsError(FenceFailedError):
    """The host's BMC does not prove who it is."""

    retryable = False


class BmcSystemError(FenceFailedError):
    """The BMC has no such system, or cannot switch it off by force."""

    retryable = False


class FenceDeclinedError(EvacuateError):
    """Switching the host off would kill guests that are not this evacuation's."""


class InstanceChangedError(EvacuateError):
    """Somebody else changed the instance between the check and the first write: the compare-and-swap was lost."""


class OwnerChangedError(EvacuateError):
    """Another run wrote the open evacuation between the check and the first write: read it again."""


class StaleAttemptError(EvacuateError):
    """The call is late: its attempt is being undone, is over, or belongs to a run that was replaced."""


class AttachmentLostError(EvacuateError):
    """Somebody else removed an attachment or a mapping that this attempt needs. Undone, and made anew by the next."""


class VolumeServiceError(EvacuateError):
    """The volume service does not answer, or cannot do what was asked."""

    retryable = True


class NoValidHostError(EvacuateError):
    """No host fits; every host is named with its reason."""


class CapacityNotYetError(EvacuateError):
    """No host fits now, and the request said to wait."""

    retryable = True
    benign = True


class DestinationBusyError(EvacuateError):
    """The destination's cap of evacuations in flight is reached."""

    retryable = True
    benign = True


class DestinationUnableError(EvacuateError):
    """The destination refuses: its driver is not able, a foreign guest is there, or a disk is not visible."""


class DiskLockedError(EvacuateError):
    """Another process holds the guest's disk: somewhere a copy still runs, whatever the evidence said."""


class StaleEpochError(EvacuateError):
    """The guest's epoch is at or below the tombstone on that host: this spawn was called off."""


class NobodyWaitsError(EvacuateError):
    """The last look before the create found that nobody waits for this activity any more, or nobody to ask."""

    retryable = True


class SpawnFailedError(EvacuateError):
    """The hypervisor could not bring the guest up."""

    retryable = True


class HypervisorUnavailableError(EvacuateError):
    """The hypervisor of the host does not answer, or not in time. That proves nothing about its guests."""

    retryable = True


class HypervisorUnableError(Refusal):
    """The hypervisor cannot be used as it is set up; the message says what is missing."""


class HostSilentError(EvacuateError):
    """A host that was coming back does not answer any more."""


class GuestBusyError(EvacuateError):
    """Another operation on the same guest holds its lock on that host."""

    retryable = True


class ResidenceNotProvenError(EvacuateError):
    """Another place where the guest may run is not proven empty."""


class EvidenceVoidedError(EvacuateError):
    """The place was seen alive between the reading of its evidence and its use: look again."""


class SourceReturnedError(EvacuateError):
    """The source came back with the same boot, so that its fence evidence is void."""


class InstanceDeletedError(EvacuateError):
    """The instance was deleted meanwhile."""


class StoreUnavailableError(EvacuateError):
    """The state store does not answer."""

    retryable = True


class StoreSchemaError(EvacuateError):
    """The store's schema is newer or older than this release."""


class TemporalUnavailableError(EvacuateError):
    """The Temporal server does not answer."""

    retryable = True


def _tree(root: type[EvacuateError]) -> dict[str, type[EvacuateError]]:
    return {root.__name__: root} | {k: v for sub in root.__subclasses__() for k, v in _tree(sub).items()}


BY_NAME: dict[str, type[EvacuateError]] = _tree(EvacuateError)
"""Every error class by its stable type name."""

REFUSALS: frozenset[str] = frozenset(name for name, cls in BY_NAME.items() if issubclass(cls, Refusal))
"""Type names that end a request before anything was changed (CLI exit code 2)."""
