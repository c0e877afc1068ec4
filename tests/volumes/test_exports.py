"""Volumes over NBD: who can write to them, and when nobody can any more."""

import pytest

from evacuation import messages as m
from evacuation.errors import DiskLockedError, StorageNotRevokedError
from services.cloud.nbd.daemon import daemon
from services.runtime.settings import Settings
from services.sql import open_services
from tests.volumes.client import names
from tests.volumes.ground import Ground
from workers.control import volumes_of


def exported(volumes: Ground) -> set[str]:
    return names(m.VolumeTarget(host=volumes.layout.host, port=volumes.layout.port))


def attached(volumes: Ground) -> set[str]:
    return {volumes.attachment(name).id for name in ("root-1", "data-1", "root-2")}


def test_guests_that_start_find_their_volumes_exported_under_their_attachments(volumes: Ground) -> None:
    assert exported(volumes) == attached(volumes)
    client = volumes.client(volumes.target("root-1"))
    assert client.write(0x11) is None
    assert volumes.on_disk(volumes.attachment("root-1").volume_id) == 0x11


def test_export_is_there_only_while_the_attachment_is_connected(volumes: Ground) -> None:
    old = {volumes.attachment(name).id for name in ("root-1", "data-1")}
    evacuation = volumes.ready()
    evacuation.detach()
    assert not exported(volumes) & old and len(exported(volumes)) == 1
    evacuation.attach()
    new = {volumes.attachment(name).id for name in ("root-1", "data-1")}
    assert exported(volumes) == attached(volumes) and not new & old
    evacuation.tear_down()
    assert not exported(volumes) & new


def test_old_client_gets_errors_and_the_disk_changes_no_more_when_its_volume_is_detached(volumes: Ground) -> None:
    volume, target = volumes.attachment("root-1").volume_id, volumes.target("root-1")
    old = volumes.client(target)
    assert old.write(0x11) is None
    evacuation = volumes.ready()
    evacuation.detach()
    assert old.write(0x66)
    assert volumes.on_disk(volume) == 0x11
    assert volumes.client(target).write(0x66), "its name is gone for good"
    evacuation.attach()
    assert volumes.client(volumes.target("root-1")).write(0x22) is None
    assert old.write(0x66)
    assert volumes.on_disk(volume) == 0x22


def test_second_attachment_of_a_volume_is_refused_and_exported_nowhere(volumes: Ground) -> None:
    evacuation = volumes.ready()
    ref, service = evacuation.at(1), volumes.services.volumes
    before, volume = exported(volumes), volumes.attachment("root-1").volume_id
    second = service.reserve(ref, volume, "second", undo=False)
    with pytest.raises(DiskLockedError):
        service.complete(ref, second, m.Connector(host="cmp-2", incarnation="boot-1"))
    assert exported(volumes) == before


def test_daemon_itself_never_has_two_exports_of_a_volume(volumes: Ground) -> None:
    """Even one that somebody made behind the service's back is closed before another is opened."""
    volume = volumes.attachment("root-1").volume_id
    with daemon(volumes.layout) as link:
        link.open_export(volume, "made-by-hand")
    volumes.ready().detach()
    assert "made-by-hand" not in exported(volumes)


def test_every_call_may_be_repeated(volumes: Ground) -> None:
    evacuation = volumes.ready()
    for _ in range(2):
        evacuation.detach()
    for _ in range(2):
        evacuation.attach()
    assert exported(volumes) == attached(volumes)


def test_detaching_from_a_dead_source_is_recorded_as_storage_evidence(volumes: Ground) -> None:
    evacuation = volumes.ready()
    assert volumes.evidence_of("web-01") == {"power-off"}
    evacuation.detach()
    assert volumes.evidence_of("web-01") == {"power-off", "storage-revoked"}
    evacuation.attach()
    (proof,) = evacuation.authorize().evidence
    assert "storage-revoked" in {each.kind for each in (proof, *proof.also)}


def test_revoked_disks_prove_their_guest_and_no_other(volumes: Ground) -> None:
    old = volumes.client(volumes.target("data-1"))
    neighbour = volumes.client(volumes.target("root-2"))
    evidence = volumes.fence.revoke(volumes.request(), lambda: None)
    assert evidence.kind == "storage-revoked"
    assert old.write(0x66)
    assert neighbour.write(0x22) is None, "the other guests of that host keep their disks"
    current = volumes.services.evidence.current_evidence
    assert current("cmp-1", "boot-1", volumes.world.id_of("web-01")) is not None
    assert current("cmp-1", "boot-1", volumes.world.id_of("web-02")) is None
    assert volumes.world.host("cmp-1").state == "down", "no guest is sent to a host whose worker is silent"


def test_revoking_again_changes_nothing(volumes: Ground) -> None:
    first = volumes.fence.revoke(volumes.request(), lambda: None)
    before = (exported(volumes), volumes.world.snapshot())
    assert volumes.fence.revoke(volumes.request(), lambda: None).scope == first.scope
    assert (exported(volumes), volumes.world.snapshot()) == before


def test_evacuation_goes_through_after_its_disks_were_revoked(volumes: Ground) -> None:
    volumes.fence.revoke(volumes.request(), lambda: None)
    evacuation = volumes.ready()
    evacuation.detach()
    evacuation.attach()
    proof = evacuation.authorize().evidence[0]
    assert proof.kind == "storage-revoked" and len(proof.scope.split()) == 3
    evacuation.finish()
    assert volumes.client(volumes.target("root-1")).write(0x22) is None


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_guest_whose_disks_were_revoked_starts_again_with_new_names(volumes: Ground, boot: str) -> None:
    """Its evacuation came to nothing, and the host returned: what was revoked never opens again."""
    target = volumes.target("root-1")
    volumes.fence.revoke(volumes.request(), lambda: None)
    volumes.world.bring_up("cmp-1", boot)
    assert volumes.world.instance().epoch == 2
    assert volumes.target("root-1").export != target.export
    assert volumes.client(target).write(0x66)
    assert volumes.client(volumes.target("root-1")).write(0x22) is None
    assert exported(volumes) == attached(volumes)


def test_disks_of_a_host_that_booted_again_are_not_taken_from_it(volumes: Ground) -> None:
    volumes.world.bring_up("cmp-1", "boot-2")
    before = exported(volumes)
    with pytest.raises(StorageNotRevokedError, match="booted again"):
        volumes.fence.revoke(volumes.request(), lambda: None)
    assert exported(volumes) == before


def test_disks_that_were_attached_again_meanwhile_are_no_evidence(volumes: Ground) -> None:
    disks = volumes.services.exports.take_away(volumes.request())
    volumes.world.bring_up("cmp-1", "boot-1")
    with pytest.raises(StorageNotRevokedError, match="attached to cmp-1 again"):
        volumes.services.exports.record_revoked(volumes.request(), disks)


def test_guest_without_a_volume_for_its_root_disk_cannot_be_fenced_by_storage(volumes: Ground) -> None:
    assert volumes.fence.is_able(volumes.world.id_of("web-01"))
    assert not volumes.fence.is_able("unknown")


@pytest.mark.parametrize(("hypervisor", "proves"), [("process", False), ("simulated", True)])
def test_storage_proves_nothing_about_guests_that_write_to_files_of_their_own(
    volumes: Ground, hypervisor: str, proves: bool
) -> None:
    settings = Settings.model_validate(
        {"state_dir": volumes.directory, "volumes": "nbd", "hypervisor": hypervisor, "nbd_create": True}
        | {"nbd_address": f"{volumes.layout.host}:{volumes.layout.port}"}
    )
    served = volumes_of(settings, open_services(f"sqlite:///{volumes.directory / 'store.db'}"))
    assert (served.storage is not None) == proves
    evacuation = volumes.ready()
    volumes.services.volumes = served.volumes  # type: ignore[assignment]  # the port, not the class
    evacuation.detach()
    assert ("storage-revoked" in volumes.evidence_of("web-01")) == proves
