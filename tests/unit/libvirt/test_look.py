"""What a host answers of what runs there, when it is looked at: bounded, whatever its guests are called."""

import pytest

from evacuation.capabilities import SeenDomain
from evacuation.messages import HostReport
from services.hypervisors.libvirt.look import DISKS_LIMIT, NAME_LIMIT, bounded
from services.runtime.temporal import DATA_CONVERTER

MESSAGE_LIMIT = 2_097_152
PAGE_OF_HOSTS = 4


def seen(number: int, *, name: str = "web", disks: tuple[str, ...] = ("/shared/web.qcow2",)) -> SeenDomain:
    identity = f"00000000-0000-4000-8000-{number:012}"
    return SeenDomain(id=identity, name=name, active=True, epoch=7, state="running", disks=disks)


def bytes_of(*domains: SeenDomain) -> int:
    report = HostReport(
        host="cmp-1", hypervisor_uuid="u", machine_id="m", incarnation="b", guests=(), domains=tuple(domains)
    )
    return len(DATA_CONVERTER.payload_converter.to_payloads([report])[0].data)


def test_a_thousand_guests_of_four_hosts_fit_into_a_message() -> None:
    long = tuple(f"/shared/{'d' * 200}-{n}.qcow2" for n in range(8))
    guests = bounded(seen(n, name="n" * 250, disks=long) for n in range(1000))
    assert len(guests) == 1000, "no guest is left out: it would count as one that does not run"
    assert bytes_of(*guests) * PAGE_OF_HOSTS < MESSAGE_LIMIT


def test_disks_for_which_there_is_no_room_are_not_known() -> None:
    half = ("d" * (DISKS_LIMIT // 2),)
    told = bounded([seen(1, disks=half), seen(2, disks=(*half, "more")), seen(3)])
    assert [each.disks for each in told] == [half, None, ("/shared/web.qcow2",)]
    assert told[1].shareable == ()


@pytest.mark.parametrize("name", ["web", "ä" * 10])
def test_names_that_are_not_long_are_told_as_they_are(name: str) -> None:
    assert bounded([seen(1, name=name)])[0].name == name


def test_long_names_are_cut() -> None:
    assert len(bounded([seen(1, name="ä" * 1000)])[0].name.encode()) <= NAME_LIMIT
