"""Names that several processes must agree on: workflow ids, task queues, search attributes."""

import re
from uuid import UUID

CONTROL_QUEUE = "evacuation"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

EVACUATE_INSTANCE, DELETE_INSTANCE = "EvacuateInstance", "DeleteInstance"
START_INSTANCE, STOP_INSTANCE, FOLLOW_INSTANCE = "StartInstance", "StopInstance", "FollowInstance"
FENCE_HOST, ACCEPT_HOST, PROBE_HOST = "FenceHost", "AcceptHost", "ProbeHost"
ASK_HOSTS, CHECK_POWER = "AskHosts", "CheckPower"
"""Types of workflows, for those who ask for one without being able to run it."""
REQUEST, PROGRESS = "request", "progress"
"""An evacuation's update and its query."""

SEARCH_ATTRIBUTES = (
    "EvacuateInstance",
    "EvacuateSource",
    "EvacuateDestination",
    "EvacuatePhase",
    "EvacuateProject",
)
"""Keyword search attributes, to be registered on the namespace."""

REQUEST_ID_MEMO = "request_id"
LEDGER_MEMO = "ledger"
"""The epoch that an evacuation is about to start, and the ledger's mark: of this run, or of the one before it."""


def host_queue(host: str) -> str:
    """Work for the hypervisor of one host; served only while the host is in service."""
    return f"host.{host}"


def probe_queue(host: str) -> str:
    """ "Are you there?", with slots of its own, served from the worker's first second."""
    return f"host.{host}.probe"


def return_queue(host: str) -> str:
    """The reconciling of a host that comes back: served before the host is in service."""
    return f"host.{host}.return"


def evacuate_instance_id(instance_id: str) -> str:
    return f"evacuate-instance/{instance_id}"


def return_host_id(host: str) -> str:
    return f"return-host/{host}"


def ask_hosts_id(asker: str, page: int) -> str:
    return f"ask-hosts/{asker}/{page}"


def ask_around_id(key: str) -> str:
    return f"ask-hosts/cut/{key}"


def report_host_id(host: str) -> str:
    return f"report-host/{host}"


def delete_instance_id(instance_id: str) -> str:
    return f"delete-instance/{instance_id}"


def is_name(text: str) -> bool:
    """Letters, digits, dot, dash and underscore; at most 63 of them."""
    return NAME.fullmatch(text) is not None


def as_id(text: str) -> str | None:
    """The id that the text is in any form of a uuid's: without dashes, in capitals, in braces. None: it is none."""
    try:
        return str(UUID(text))
    except ValueError:
        return None
