"""What a host says of each of its domains beside its definition: what runs, under which mark, on which disks."""

import pytest

from services.definitions.libvirt.metadata import mark_text
from services.hypervisors.libvirt.api import state_word
from services.hypervisors.libvirt.capabilities import seen_domain
from services.hypervisors.libvirt.survey import SurveyedDomain
from tests.unit.libvirt.world import INSTANCE, STORED

LIVE = f"""<domain type='kvm' id='3'><name>web</name><uuid>{INSTANCE}</uuid><memory>1024</memory><devices>
<disk type='file' device='disk'><source file='/shared/web.qcow2' index='2'/><target dev='vda'/></disk>
<disk type='network' device='disk'><source protocol='nbd' name='a1'><host name='s' port='1'/></source>
<target dev='vdb'/><shareable/></disk>
<disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>
<disk type='file' device='cdrom'><source file='/iso/seed.iso'/><target dev='sdb'/><readonly/></disk>
</devices></domain>"""


def domain(**said: object) -> SurveyedDomain:
    given = {"id": INSTANCE, "name": "web", "state": 1, "active": True, "definition": STORED, "live": LIVE}
    return SurveyedDomain.model_validate(given | said)


def test_a_running_domain_is_told_with_its_live_mark_and_the_disks_it_writes_to() -> None:
    seen = seen_domain(domain(mark=mark_text(INSTANCE, 7, None), autostart=True, managed_save=False))
    assert (seen.epoch, seen.state, seen.active) == (7, "running", True)
    assert seen.disks == ("/shared/web.qcow2", "nbd:a1")
    assert seen.shareable == ("nbd:a1",)
    assert (seen.autostart, seen.managed_save) == (True, False)


def test_one_without_a_mark_is_of_no_epoch_and_what_nobody_can_read_is_not_known() -> None:
    assert seen_domain(domain()).epoch == 0
    assert seen_domain(domain(live="<domain")).disks is None
    assert seen_domain(domain(active=False, state=5, live=None)).disks is None


@pytest.mark.parametrize(
    ("state", "reason", "word"),
    [
        (1, 1, "running"),
        (3, 1, "paused"),
        (3, 2, "migrating"),
        (3, 11, "starting"),
        (5, 1, "shut off"),
        (6, 0, "crashed"),
        (99, 0, "no state"),
    ],
)
def test_states_are_told_in_words(state: int, reason: int, word: str) -> None:
    assert state_word(state, reason) == word
