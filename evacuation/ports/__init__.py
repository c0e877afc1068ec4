"""The ports: what the activities need from the world, as Protocols. `services/` holds what is behind them.

All are synchronous and safe to call from many threads. Each call is one transaction or one remote operation, has
its own timeout, and raises only `EvacuateError`s on purpose. "Guarded" means: in its own transaction the call checks
the `AttemptRef` (evacuation id, owner, attempt) and the phase, and raises `StaleAttemptError` without a write when
they are not what the call needs, or `InstanceDeletedError` when a forward call finds the instance deleted. Every
call may be repeated, from whatever point the call before it died at, with the same result.
"""

from evacuation.ports.cloud import Attachment, Capacity, Network, Volumes
from evacuation.ports.evacuations import CheckFacts, EvacuationStore
from evacuation.ports.evidence import EvidenceStore, OnlookerStore
from evacuation.ports.fencing import FencingDriver, StorageFence
from evacuation.ports.hosts import HostStore, Identities
from evacuation.ports.hypervisors import HostIdentity, Hypervisor, LedgerMemory, Looking, Reporter

__all__ = [
    "Attachment",
    "Capacity",
    "CheckFacts",
    "EvacuationStore",
    "EvidenceStore",
    "FencingDriver",
    "HostIdentity",
    "HostStore",
    "Hypervisor",
    "Identities",
    "LedgerMemory",
    "Looking",
    "Network",
    "OnlookerStore",
    "Reporter",
    "StorageFence",
    "Volumes",
]
