"""What somebody else does to a host or a volume in the middle of an evacuation."""

import pytest
from sqlmodel import Session, col, delete

from evacuation import messages as m
from evacuation.errors import EvidenceVoidedError
from evacuation.model import AttachmentStatus
from services.sql.holdings import refresh_status
from services.sql.tables import AttachmentRow
from tests.integration.sql.world import World, evidence


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
