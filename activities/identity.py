"""A host that was renamed, cloned or rebooted must not act on a message that was meant for another."""

from evacuation.errors import DestinationUnableError, HostIdentityError
from evacuation.messages import HostCall
from evacuation.ports import Hypervisor


def must_be(hypervisor: Hypervisor, call: HostCall, *, any_incarnation: bool = False) -> str:
    """This host's incarnation, when it is the one that the message expects.

    Raises HostIdentityError (another hypervisor answers by this name) and, unless `any_incarnation`,
    DestinationUnableError (the host booted since it was chosen)."""
    me = hypervisor.identity()
    if call.hypervisor_uuid is not None and me.hypervisor_uuid != call.hypervisor_uuid:
        raise HostIdentityError(
            f"host {call.host} is hypervisor {me.hypervisor_uuid}, not {call.hypervisor_uuid} as the fleet knows it",
            remedy="stop the worker that uses this name on the wrong machine",
        )
    if not any_incarnation and call.incarnation is not None and me.incarnation != call.incarnation:
        raise DestinationUnableError(f"host {call.host} booted again since it was chosen")
    return me.incarnation
