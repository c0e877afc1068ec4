"""Errors of what is under way."""

from evacuation.errors.base import EvacuateError


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


class BmcIdentityError(FenceFailedError):
    """The BMC that is said to be the host's switches another machine."""

    retryable = False


class WrongMachineError(FenceFailedError):
    """What reads off by the host's entry is not the host, as far as the hosts' own workers show."""

    retryable = False


class CutOverError(FenceFailedError):
    """The cut that this execution announced is over, or another boot is there: nothing is cut by it, nor recorded."""


class PowerReadsOnError(FenceFailedError):
    """Somebody says that the host is off, and its power reads on."""

    retryable = False


class PowerUnreadError(EvacuateError):
    """What is said of the hosts that are named counts only after their power was read. Never leaves the activity that
    reads it."""

    retryable = True


class FenceDeclinedError(EvacuateError):
    """Switching the host off would kill guests that are not this evacuation's."""


class InstanceChangedError(EvacuateError):
    """Somebody else changed the instance between the check and the first write: the compare-and-swap was lost."""


class OwnerChangedError(EvacuateError):
    """Another run wrote the open evacuation between the check and the first write: read it again."""


class StaleAttemptError(EvacuateError):
    """The call is late: its attempt is being undone, is over, or belongs to a run that was replaced."""


class ObjectGoneError(EvacuateError):
    """Somebody removed, behind this program's back, what a step needs: a volume, a host, a record."""


class StoreConflictError(EvacuateError):
    """The store refuses what was to be written, however often it is tried."""


class EndNotRecordedError(EvacuateError):
    """The guest runs, and what the store needs to record that is gone: tried until somebody puts it back."""

    retryable = True


class AttachmentLostError(EvacuateError):
    """Somebody else removed an attachment or a mapping that this attempt needs. Undone, and made again by the next."""


class VolumeServiceError(EvacuateError):
    """The volume service does not answer, or cannot do what was asked."""

    retryable = True


class VolumeImageGoneError(VolumeServiceError):
    """The volume's data is not where it was."""

    retryable = False


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


class HostSlowError(EvacuateError):
    """A host that answers its probe has not done in time what it was asked for: what became of it is unknown."""

    retryable = True


class DestinationUnableError(EvacuateError):
    """The destination refuses: its driver is not able, a foreign guest is there, or a disk is not visible."""


class DiskLockedError(EvacuateError):
    """Another process holds the guest's disk: somewhere a copy still runs, whatever the evidence said."""


class StaleEpochError(EvacuateError):
    """The guest's epoch is at or below the tombstone on that host: this spawn was called off."""


class NobodyWaitsError(EvacuateError):
    """The last look before the effect found that nobody waits for this activity any more, or nobody to ask."""

    retryable = True


class SpawnFailedError(EvacuateError):
    """The hypervisor could not bring the guest up."""

    retryable = True


class SignalPatternError(EvacuateError):
    """By the pattern of its sign of life nobody can tell whether a guest is up: it cannot be read, or takes too long.
    No other host mends that."""


class HypervisorUnavailableError(EvacuateError):
    """The hypervisor of the host does not answer, or not in time. That proves nothing about its guests."""

    retryable = True


class HostFailingError(EvacuateError):
    """The host's own worker answers, with an error: it is there."""


class HostSilentError(EvacuateError):
    """A host that was coming back does not answer any more."""


class HostsNotAskedError(EvacuateError):
    """This worker has not asked every host yet what it has seen of the ledger: it starts nothing until then."""

    retryable = True
    benign = True


class GuestBusyError(EvacuateError):
    """Another operation on the same guest holds its lock on that host."""

    retryable = True


class ResidenceNotProvenError(EvacuateError):
    """Another place where the guest may run is not proven empty."""


class EvidenceVoidedError(EvacuateError):
    """The place was seen alive between the reading of its evidence and its use: look again."""


class SourceReturnedError(EvacuateError):
    """The source came back: in the boot that was said to be off, or in another than was checked."""


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
