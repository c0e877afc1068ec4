"""What is to be told of a host beside its state, a line each."""

from collections.abc import Iterator

from evacuation.request import accept_remedy
from evacuation.views import HostView


def remarks(host: HostView) -> Iterator[str]:
    if host.refused is not None:
        when = "if it is the new board, or was installed anew"
        yield (
            f"{host.name}: refused at {host.refused.refused_at:%Y-%m-%d %H:%M:%S} UTC: {host.refused.why}; "
            f"{accept_remedy(host.name, when)}"
        )
    if host.incarnation in host.boots_before:
        yield f"{host.name}: waits for {_awaited(host)}: start its host worker there"
    for each in host.replaced:
        if each.seen_at is not None:
            yield (
                f"{host.name}: what it was before ({each}, boot {each.incarnation}) was said to be gone, and was heard "
                f"of at {each.seen_at:%Y-%m-%d %H:%M:%S} UTC: its guests may run twice; switch it off, then say so: "
                f'evacuate host accept {host.name} --confirmed-gone "who saw it off, how"'
            )


def _awaited(host: HostView) -> str:
    return f"hypervisor {host.hypervisor_uuid}" if host.hypervisor_uuid else "another board, whichever comes first"
