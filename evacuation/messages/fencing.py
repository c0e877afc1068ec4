"""Fences, and what the power of a host reads."""

from evacuation.messages.common import HostRef, Tuning
from evacuation.messages.probing import ProbeRequest
from evacuation.model import Frozen
from evacuation.power_check import PowerCheck


class FenceRequest(Frozen):
    """Prove one incarnation of a host off. `statement` is an operator's word; with `spare_others` the host is
    switched off only if no other unproven residence than `instance_id`'s is there (its power is always read)."""

    host: str
    incarnation: str | None
    instance_id: str
    statement: str | None = None
    who: str = "evacuate"
    spare_others: bool = False


class FenceHostInput(Frozen):
    """A person's `statement` that the host is off; without one its power is cut."""

    request: FenceRequest
    tuning: Tuning = Tuning()


class CheckPowerInput(Frozen):
    """`host preflight` asks for it: whether the power of these hosts can be read, and whether each reads on."""

    hosts: tuple[ProbeRequest, ...]
    tuning: Tuning = Tuning()


class PowerChecks(Frozen):
    """What the fencing driver read, one for each host that was asked for."""

    checks: tuple[PowerCheck, ...]


class PowerQuery(HostRef):
    """`grace`: seconds that are waited before it is said that the power reads off."""

    grace: float = 0.0


class EvidenceQuery(HostRef):
    """Asked for the sake of one instance's evacuation: whose disks may be part of the evidence."""

    instance_id: str = ""
