"""The disks that a guest writes to as it runs are the ones that its evacuation goes on from."""

from services.definitions.libvirt.definition import Disk, parse_definition
from services.hypervisors.libvirt.adoptable import adopted_host
from services.hypervisors.libvirt.capabilities import seen_domain
from services.hypervisors.libvirt.report import guests_of
from services.hypervisors.libvirt.survey import SurveyedDomain
from tests.unit.libvirt.test_large_definitions import survey
from tests.unit.libvirt.world import INSTANCE, STORED

BASE, OVERLAY = "/shared/web.qcow2", "/shared/web.s1"
LIVE = STORED.replace(
    f"<source file='{BASE}'/>",
    f"<source file='{OVERLAY}' index='2'/><backingStore type='file' index='1'><format type='qcow2'/>"
    f"<source file='{BASE}'/><backingStore/></backingStore>",
)
"""As libvirt tells a guest after `virsh snapshot-create-as --disk-only`."""


def domain(definition: str = STORED, live: str | None = LIVE) -> SurveyedDomain:
    return SurveyedDomain(id=INSTANCE, name="web", state=1, active=live is not None, definition=definition, live=live)


def reported(each: SurveyedDomain) -> str:
    (told,), unreported = guests_of(survey(each))
    assert not unreported
    return told.stored.definition or ""


def root_of(definition: str) -> Disk:
    return parse_definition(definition).disks[0]


def test_definition_that_names_the_base_is_told_with_the_overlay_that_is_written_to() -> None:
    """Somebody defined it again from an old file: started from its base, it would lose all since the snapshot."""
    told = reported(domain())
    assert (root_of(told).path, root_of(told).format) == (OVERLAY, "qcow2")
    assert "index=" not in told and "backingStore" not in told, "what is of this run alone stays here"
    rest = parse_definition(told).model_copy(update={"disks": ()})
    assert rest == parse_definition(STORED).model_copy(update={"disks": ()})
    assert parse_definition(told).disks[1:] == parse_definition(STORED).disks[1:]


def test_host_says_which_disk_its_definition_names_instead() -> None:
    assert seen_domain(domain()).named == (BASE,)
    assert seen_domain(domain(live=STORED)).named == ()
    assert seen_domain(domain(live="<domain")).named is None


def test_adoption_takes_the_overlay_too() -> None:
    (taken,) = adopted_host(survey(domain()), name=None).instances
    assert root_of(taken.stored.definition or "").path == OVERLAY


def test_format_is_that_of_the_file_that_is_written_to() -> None:
    raw = STORED.replace("type='qcow2'/><source", "type='raw'/><source")
    assert root_of(raw).format == "raw"
    assert root_of(reported(domain(raw))).format == "qcow2"


def test_disk_that_became_another_kind_is_told_so() -> None:
    live = STORED.replace(
        f"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{BASE}'/>",
        "<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/web' index='1'/>",
    )
    told = root_of(reported(domain(live=live)))
    assert (told.type, told.path, told.format) == ("block", "/dev/vg/web", "raw")


def test_definition_is_told_to_the_letter_when_the_guest_runs_on_its_disks_or_does_not_run() -> None:
    same = STORED.replace(f"<source file='{BASE}'/>", f"<source file='{BASE}' index='1'/><backingStore/>")
    for live in (None, STORED, same):
        assert reported(domain(live=live)) == STORED


def test_medium_in_a_drive_and_a_disk_that_is_thrown_away_are_those_of_the_definition() -> None:
    for kind in ("<disk type='file' device='cdrom'>", "<disk type='file' device='disk'><transient/>"):
        definition = STORED.replace("<disk type='file' device='disk'>", kind)
        live = LIVE.replace("<disk type='file' device='disk'>", kind)
        assert reported(domain(definition, live)) == definition


def test_disk_that_only_one_of_them_has_stays_as_it_is() -> None:
    """Plugged in as it runs, or for its next start."""
    without = STORED.replace("dev='vda'", "dev='vdx'")
    assert reported(domain(without)) == without


def test_guest_whose_live_definition_nobody_can_read_is_named() -> None:
    told, (left,) = guests_of(survey(domain(live="<domain")))
    assert not told
    assert (left.id, left.name) == (INSTANCE, "web")
