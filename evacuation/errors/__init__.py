"""The error tree. A class's name is its stable type, in workflow failures, in the CLI's JSON and in the outcome.

`retryable` says whether the same call may succeed later without anybody's help; `benign` marks an expected
"not yet". A `Refusal` was raised before anything was written or powered off.
"""

from typing import TYPE_CHECKING, Any

from evacuation.errors.base import EvacuateError
from evacuation.errors.failures import (
    AttachmentLostError,
    BmcCredentialsError,
    BmcIdentityError,
    BmcSystemError,
    BmcTlsError,
    BmcUnreachableError,
    CapacityNotYetError,
    CutOverError,
    DestinationBusyError,
    DestinationUnableError,
    DiskLockedError,
    EndNotRecordedError,
    EvidenceMissingError,
    EvidenceVoidedError,
    FenceDeclinedError,
    FenceFailedError,
    GuestBusyError,
    HostFailingError,
    HostSilentError,
    HostSlowError,
    HostsNotAskedError,
    HypervisorUnavailableError,
    InstanceChangedError,
    InstanceDeletedError,
    NobodyWaitsError,
    NotReadyError,
    NoValidHostError,
    ObjectGoneError,
    OwnerChangedError,
    PowerReadsOnError,
    PowerUnreadError,
    ResidenceNotProvenError,
    SourceReturnedError,
    SpawnFailedError,
    StaleAttemptError,
    StaleEpochError,
    StorageNotRevokedError,
    StoreConflictError,
    StoreSchemaError,
    StoreUnavailableError,
    TemporalUnavailableError,
    VolumeImageGoneError,
    VolumeServiceError,
    WrongMachineError,
)
from evacuation.errors.refusals import (
    AmbiguousNameError,
    BmcFileError,
    ContradictoryOptionsError,
    DuplicateInstanceError,
    EvacuationRunningError,
    FaultFileError,
    FleetError,
    HostAlreadyServedError,
    HostAnswersError,
    HostDownError,
    HostIdentityError,
    HostNotFoundError,
    HostOffError,
    HypervisorUnableError,
    InstanceMisplacedError,
    InstanceNotFoundError,
    MalformedDefinitionError,
    MalformedRequestError,
    NotAdoptableError,
    NotMovedError,
    NotRunningError,
    NotTheStackError,
    Refusal,
    RootDiskNotSharedError,
    SourceAnswersError,
    SourceNotFencedError,
    StateDirInUseError,
    StoreBehindError,
    StoreOwnedError,
    TargetDisabledError,
    TargetIsSourceError,
    TooLateError,
    VmStateError,
    VmStateNotEvacuableError,
)

if TYPE_CHECKING:
    from evacuation.errors.detail import ErrorDetail

__all__ = [
    "BY_NAME",
    "REFUSALS",
    "AmbiguousNameError",
    "AttachmentLostError",
    "BmcCredentialsError",
    "BmcFileError",
    "BmcIdentityError",
    "BmcSystemError",
    "BmcTlsError",
    "BmcUnreachableError",
    "CapacityNotYetError",
    "ContradictoryOptionsError",
    "CutOverError",
    "DestinationBusyError",
    "DestinationUnableError",
    "DiskLockedError",
    "DuplicateInstanceError",
    "EndNotRecordedError",
    "ErrorDetail",
    "EvacuateError",
    "EvacuationRunningError",
    "EvidenceMissingError",
    "EvidenceVoidedError",
    "FaultFileError",
    "FenceDeclinedError",
    "FenceFailedError",
    "FleetError",
    "GuestBusyError",
    "HostAlreadyServedError",
    "HostAnswersError",
    "HostDownError",
    "HostFailingError",
    "HostIdentityError",
    "HostNotFoundError",
    "HostOffError",
    "HostSilentError",
    "HostSlowError",
    "HostsNotAskedError",
    "HypervisorUnableError",
    "HypervisorUnavailableError",
    "InstanceChangedError",
    "InstanceDeletedError",
    "InstanceMisplacedError",
    "InstanceNotFoundError",
    "MalformedDefinitionError",
    "MalformedRequestError",
    "NoValidHostError",
    "NobodyWaitsError",
    "NotAdoptableError",
    "NotMovedError",
    "NotReadyError",
    "NotRunningError",
    "NotTheStackError",
    "ObjectGoneError",
    "OwnerChangedError",
    "PowerReadsOnError",
    "PowerUnreadError",
    "Refusal",
    "ResidenceNotProvenError",
    "RootDiskNotSharedError",
    "SourceAnswersError",
    "SourceNotFencedError",
    "SourceReturnedError",
    "SpawnFailedError",
    "StaleAttemptError",
    "StaleEpochError",
    "StateDirInUseError",
    "StorageNotRevokedError",
    "StoreBehindError",
    "StoreConflictError",
    "StoreOwnedError",
    "StoreSchemaError",
    "StoreUnavailableError",
    "TargetDisabledError",
    "TargetIsSourceError",
    "TemporalUnavailableError",
    "TooLateError",
    "VmStateError",
    "VmStateNotEvacuableError",
    "VolumeImageGoneError",
    "VolumeServiceError",
    "WrongMachineError",
]


def __getattr__(name: str) -> Any:
    """The detail is a pydantic model, and a command that prints its help is done sooner than pydantic is imported."""
    if name != "ErrorDetail":
        raise AttributeError(name)
    from evacuation.errors.detail import ErrorDetail

    return ErrorDetail


def _tree(root: type[EvacuateError]) -> dict[str, type[EvacuateError]]:
    return {root.__name__: root} | {k: v for sub in root.__subclasses__() for k, v in _tree(sub).items()}


BY_NAME: dict[str, type[EvacuateError]] = _tree(EvacuateError)
"""Every error class by its stable type name."""

REFUSALS: frozenset[str] = frozenset(name for name, cls in BY_NAME.items() if issubclass(cls, Refusal))
"""Type names that end a request before anything was changed (CLI exit code 2)."""
