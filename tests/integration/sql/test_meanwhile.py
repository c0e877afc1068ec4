"""What somebody else does to a host or a volume in the middle of an evacuation."""

import pytest
from sqlmodel import Session, col, delete, select

from activities.block_devices import BlockDeviceActivities
from evacuation import messages as m
from evacuation.errors import AttachmentLostError, EvidenceVoidedError
from evacuation.model import AttachmentStatus
from services.sql.instances.holdings import refresh_status
from services.sql.tables import AttachmentRow, BlockDeviceRow
from tests.integration.sql.world import Evacuation, World, evidence


def test_guest_is_not_recorded_as_gone_when_its_host_was_seen_alive_after_its_fence(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    said = world.services.evidence.record_evidence(evidence("cmp-2", "boot-1", "operator"))
    world.services.hosts.register(world.report("cmp-2", "boot-1"))
    before = world.snapshot()
    with pytest.raises(EvidenceVoidedError):
        world.services.store.record_guest_gone(m.RecordGuestGone(ref=evacuation.at(1), evidence=said))
    assert world.snapshot() == before
    evacuation.guest_gone()


def test_volume_is_attached_again_at_the_end_when_somebody_removed_its_attachment(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    epoch = evacuation.to_authorized().epoch
    devices = world.services.store.block_devices(evacuation.at(1))
    remove_attachments(world, devices[0])
    evacuation.finish(1, "cmp-2", epoch)
    volumes = {each.id: each for each in world.services.views.volumes()}
    mine = volumes[devices[0].volume_id]
    assert (mine.status, [(a.host, a.status) for a in mine.attachments]) == ("in-use", [("cmp-2", "attached")])
    after = world.services.store.block_devices(evacuation.at(1))
    assert [each.attachment_id for each in after if each.volume_id == mine.id] == [mine.attachments[0].id]


def test_volume_that_somebody_else_has_connected_is_not_taken_back_at_the_end(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    epoch = evacuation.to_authorized().epoch
    devices = world.services.store.block_devices(evacuation.at(1))
    remove_attachments(world, devices[0])
    theirs = m.Connector(host="cmp-3", incarnation="boot-1")
    connect_to(world, devices[0].volume_id, "web-02", theirs)
    evacuation.finish(1, "cmp-2", epoch)
    mine = next(each for each in world.services.views.volumes() if each.id == devices[0].volume_id)
    assert [(a.instance_id, a.host) for a in mine.attachments] == [(world.id_of("web-02"), "cmp-3")]
    assert [d.volume_id for d in world.services.store.block_devices(evacuation.at(1))] == [devices[1].volume_id]


DIES = pytest.mark.parametrize("dies", [False, True], ids=["and goes on", "and dies"])
"""The call that has reserved, before it saves the mapping."""


class Gone(Exception):
    """The process is gone."""


@DIES
def test_nothing_stays_reserved_for_a_volume_that_is_unmapped_between_reserve_and_save(
    world: World, dies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    evacuation = _before_detaching(world)
    devices = world.services.store.block_devices(evacuation.at(1))
    with monkeypatch.context() as patch, pytest.raises(Gone if dies else AttachmentLostError):
        _unmap_when_reserved(world, patch, dies=dies)
        _activities(world).detach_volumes(m.DetachVolumes(ref=evacuation.at(1), devices=devices))
    _activities(world).tear_down_block_devices(m.Undo(ref=evacuation.at(1)))
    assert _attachments(world, devices[0].volume_id) == ("available", [])
    assert _attachments(world, devices[1].volume_id) == ("in-use", ["cmp-1"])


def test_volume_that_is_unmapped_when_it_is_on_the_destination_is_given_back_by_the_undoing(world: World) -> None:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.to_authorized()
    device = world.services.store.block_devices(evacuation.at(1))[0]
    unmap(world, device.volume_id)
    evacuation.guest_gone()
    _activities(world).tear_down_block_devices(m.Undo(ref=evacuation.at(1)))
    assert _attachments(world, device.volume_id) == ("available", [])


def test_nothing_stays_reserved_at_the_end_for_a_volume_that_was_unmapped(world: World) -> None:
    evacuation = _before_detaching(world)
    device = world.services.store.block_devices(evacuation.at(1))[0]
    evacuation.detach()
    unmap(world, device.volume_id)
    evacuation.attach()
    evacuation.authorize()
    evacuation.finish()
    assert _attachments(world, device.volume_id) == ("available", [])


def test_connector_that_was_saved_for_a_volume_that_was_never_taken_away_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The detaching came too late, or died, between the two; cancelled then."""
    evacuation = _before_detaching(world)
    devices = _activities(world).fetch_block_devices(evacuation.at(1)).devices

    def dies(*_: object, **__: object) -> str:
        raise Gone

    monkeypatch.setattr(world.services.volumes, "reserve", dies)
    with pytest.raises(Gone):
        _activities(world).detach_volumes(m.DetachVolumes(ref=evacuation.at(1), devices=devices))
    monkeypatch.undo()
    assert any(each.source_connector for each in world.services.store.block_devices(evacuation.ref))
    _activities(world).tear_down_block_devices(m.Undo(ref=evacuation.at(1)))
    left = world.services.store.block_devices(evacuation.ref)
    assert [each.source_connector for each in left] == [None] * len(devices) and devices
    assert [each.attachment_id for each in left] == [each.attachment_id for each in devices]


def _before_detaching(world: World) -> Evacuation:
    world.fence()
    evacuation = world.evacuation()
    evacuation.begin()
    evacuation.claim()
    evacuation.prepare()
    return evacuation


def _activities(world: World) -> BlockDeviceActivities:
    return BlockDeviceActivities(world.services.store, world.services.volumes)


def _unmap_when_reserved(world: World, patch: pytest.MonkeyPatch, *, dies: bool) -> None:
    reserve = world.services.volumes.reserve

    def and_then(ref: m.AttemptRef, volume_id: str, name: str, *, undo: bool) -> str:
        reserved = reserve(ref, volume_id, name, undo=undo)
        unmap(world, volume_id)
        if dies:
            raise Gone
        return reserved

    patch.setattr(world.services.volumes, "reserve", and_then)


def _attachments(world: World, volume_id: str) -> tuple[str, list[str | None]]:
    volume = next(each for each in world.services.views.volumes() if each.id == volume_id)
    return volume.status, [each.host for each in volume.attachments]


def unmap(world: World, volume_id: str) -> None:
    """And nothing else: whoever does it takes away the attachment that it had then."""

    def remove(session: Session) -> None:
        mapping = session.exec(select(BlockDeviceRow).where(BlockDeviceRow.volume_id == volume_id)).one()
        session.exec(delete(AttachmentRow).where(col(AttachmentRow.id) == mapping.attachment_id))
        session.delete(mapping)
        session.flush()
        refresh_status(session, volume_id)

    world.services.store._database.write(remove)


def remove_attachments(world: World, device: m.BlockDevice) -> None:
    def remove(session: Session) -> None:
        session.exec(delete(AttachmentRow).where(col(AttachmentRow.volume_id) == device.volume_id))
        refresh_status(session, device.volume_id)

    world.services.store._database.write(remove)


def connect_to(world: World, volume_id: str, name: str, connector: m.Connector) -> None:
    def connect(session: Session) -> None:
        row = AttachmentRow(
            id="theirs",
            name="theirs",
            volume_id=volume_id,
            instance_id=world.id_of(name),
            status=AttachmentStatus.ATTACHED,
            connector=connector,
        )
        session.add(row)
        refresh_status(session, volume_id)

    world.services.store._database.write(connect)
