"""Real messages of libvirt 9.0 and QEMU 7.2, and what each means for an evacuation."""

import pytest

from evacuation.errors import (
    AttachmentLostError,
    DestinationUnableError,
    DiskLockedError,
    EvacuateError,
    HypervisorUnableError,
    HypervisorUnavailableError,
    SpawnFailedError,
)
from services.hypervisors.libvirt.api import LibvirtError
from services.hypervisors.libvirt.failures import open_failure, spawn_failure

LOCKED = (
    "internal error: process exited while connecting to monitor: qemu-system-x86_64: -blockdev "
    '{"driver":"file"}: Failed to get "write" lock\nIs another process using the image [/shared/sb1.raw]?'
)
NO_EXPORT = "internal error: qemu unexpectedly closed the monitor: -blockdev {}: Requested export not available"


@pytest.mark.parametrize(
    ("code", "domain", "message", "means"),
    [
        (1, 10, LOCKED, DiskLockedError),
        (87, 51, "resource busy: Lockspace resource '972a' is locked", DiskLockedError),
        (1, 10, NO_EXPORT, AttachmentLostError),
        (38, 10, "Cannot access storage file '/shared/x.raw': No such file or directory", DestinationUnableError),
        (38, 0, "Cannot get interface MTU on 'br9': No such device", DestinationUnableError),
        (9, 20, "operation failed: domain 'web' already exists with uuid 1234", DestinationUnableError),
        (1, 10, "cannot set up guest memory 'pc.ram': Cannot allocate memory", DestinationUnableError),
        (67, 20, "unsupported configuration: CPU mode 'host-passthrough' is not supported", DestinationUnableError),
        (27, 20, "XML error: target 'vdb' duplicated", DestinationUnableError),
        (38, 7, "End of file while reading data: Input/output error", HypervisorUnavailableError),
        (1, 7, "internal error: client socket is closed", HypervisorUnavailableError),
        (1, 10, "internal error: process exited while connecting to monitor: Aborted", SpawnFailedError),
    ],
)
def test_failure_of_a_spawn_is_told_apart_by_its_text(
    code: int, domain: int, message: str, means: type[EvacuateError]
) -> None:
    error = spawn_failure(LibvirtError(code, domain, message), guest="web-01", host="cmp-2")
    assert type(error) is means
    assert "\n" not in error.message


def test_lock_of_a_disk_is_not_retried_and_names_the_remedy() -> None:
    error = spawn_failure(LibvirtError(1, 10, LOCKED), guest="web-01", host="cmp-2")
    assert not error.retryable
    assert "fence" in error.remedy


@pytest.mark.parametrize(
    ("cause", "means"),
    [
        ("no connection driver available for vbox:///x", HypervisorUnableError),
        ("Unable to read TLS confirmation: Input/output error", HypervisorUnableError),
        ("Failed to connect socket to '/run/libvirt/libvirt-sock': Connection refused", HypervisorUnavailableError),
        ("unable to connect to server at '10.77.0.11:16509': No route to host", HypervisorUnavailableError),
    ],
)
def test_open_is_refused_when_no_repetition_helps(cause: str, means: type[EvacuateError]) -> None:
    assert type(open_failure(cause, uri="qemu:///system")) is means
