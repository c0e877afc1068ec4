"""How large a definition may be, so that whatever message it goes in still travels."""

import pytest

from evacuation import messages as m
from evacuation.errors import MalformedDefinitionError
from evacuation.model import Flavor, PowerState, RootDisk
from evacuation.sizes import DEFINITION_LIMIT, MARK_ROOM, require_small, require_travels
from services.runtime.temporal import DATA_CONVERTER

SERVER_LIMIT = 2 * 1024 * 1024
"""Bytes of a payload that Temporal refuses."""


def test_limit_is_in_bytes_of_the_text() -> None:
    require_small("ä" * (DEFINITION_LIMIT // 2), room=0)
    with pytest.raises(MalformedDefinitionError, match=r"has 1,000,002 bytes, more than 1,000,000"):
        require_small("ä" * (DEFINITION_LIMIT // 2 + 1), room=0)
    require_small(None)
    require_small("x" * (DEFINITION_LIMIT + MARK_ROOM))


def test_definition_that_an_older_release_let_in_is_refused_only_when_it_cannot_travel() -> None:
    require_travels(None)
    require_travels("x" * 2_000_000)
    require_travels('"' * (DEFINITION_LIMIT + MARK_ROOM))
    for text in ("x" * 2_100_000, '"' * 1_050_000, "ä" * 1_050_000):
        with pytest.raises(MalformedDefinitionError, match="bytes in a message") as caught:
            require_travels(text)
        assert "adopt its host again" in caught.value.remedy


@pytest.mark.parametrize("text", ['"' * (DEFINITION_LIMIT + MARK_ROOM), "x" * 2_040_000], ids=["escaped", "old"])
async def test_guest_with_the_largest_definition_and_many_disks_travels(text: str) -> None:
    require_travels(text)
    disks = tuple(
        m.GuestDisk(
            volume_id=f"{n:036}",
            device=f"/dev/vd{n}",
            attachment_id=f"{n:036}",
            target=m.VolumeTarget(host="10.0.0.200", export=f"{n:036}"),
        )
        for n in range(60)
    )
    nics = tuple(
        m.Nic(port_id=f"{n:036}", network="n" * 63, mac="52:54:00:00:00:01", ip="10.0.0.1", bridge="br0")
        for n in range(30)
    )
    guest = m.GuestSpec(
        instance_id="i" * 36,
        name="n" * 63,
        epoch=7,
        flavor=Flavor(vcpus=2, memory_mb=1024, disk_gb=0),
        root_disk=RootDisk.SHARED,
        power_state=PowerState.RUNNING,
        nics=nics,
        disks=disks,
        definition=text,
    )
    call = m.HostCall(host="h" * 63, hypervisor_uuid="u" * 36, incarnation="b" * 36)
    (payload,) = await DATA_CONVERTER.encode([m.SpawnGuest(call=call, guest=guest)])
    assert payload.ByteSize() < SERVER_LIMIT
