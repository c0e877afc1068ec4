"""What `check` makes of the answers of hosts' workers."""

from typing import Any

import pytest

from control.host_observer import Answers, HostObserver, sight_of
from evacuation import messages as m
from evacuation.capabilities import SeenDomain, SharedDirectory
from evacuation.invariants import World, find_breaches
from evacuation.ledger import LedgerMark, Witness
from evacuation.model import PowerState
from services.runtime.settings import Settings
from tests.unit.worlds import host, instance, residence, world

NAS = (SharedDirectory(path="/nas", marker="the nas"),)
ELSEWHERE = (SharedDirectory(path="/mnt/nas", marker="the nas"),)


def domain(name: str, **said: Any) -> SeenDomain:
    usual = {"id": f"id-{name}", "name": name, "active": True, "epoch": 1, "state": "running", "disks": ()}
    return SeenDomain.model_validate(usual | said)


def answer(host: str, *domains: SeenDomain, **said: Any) -> m.HostAnswer:
    report = {"host": host, "hypervisor_uuid": host, "machine_id": "m", "incarnation": f"boot of {host}", "guests": ()}
    return m.HostAnswer(
        host=host,
        report=m.HostReport.model_validate(report | {"domains": domains} | said),
        ledger=LedgerMark(ledger="ours", position=3),
    )


def silent(host: str) -> m.HostAnswer:
    return m.HostAnswer(host=host, why_not="no worker took it", silent=True)


def seen(*answers: m.HostAnswer, why: str | None = None, **rows: Any) -> World:
    """As `check` has it, with what could not be looked at in the place of a name."""
    found = world(**rows)
    sight = sight_of(found.rows, Answers(answers=answers, why_no_more=why))
    return found.model_copy(update=sight.of_the_world)


def missing(*answers: m.HostAnswer, why: str | None = None, **rows: Any) -> tuple[str, ...]:
    return sight_of(world(**rows).rows, Answers(answers=answers, why_no_more=why)).missing


def rules(found: World) -> list[str]:
    return [breach.rule for breach in find_breaches(found)]


def test_sound_fleet_is_sound() -> None:
    found = seen(answer("cmp-1", domain("web")), answer("cmp-2"))
    assert rules(found) == []
    assert found.boots == {"cmp-1": "boot of cmp-1", "cmp-2": "boot of cmp-2"}
    assert found.witnesses[0] == Witness(who="cmp-1", mark=LedgerMark(ledger="ours", position=3))


def test_guest_that_runs_twice_is_named_with_both_places() -> None:
    found = seen(answer("cmp-1", domain("web")), answer("cmp-2", domain("web")))
    assert [b.message for b in find_breaches(found) if b.rule == "copies"] == [
        "2 copies run: cmp-1 (epoch 1), cmp-2 (epoch 1)"
    ]


def test_guest_that_was_moved_by_hand_is_named_with_its_place() -> None:
    assert rules(seen(answer("cmp-1"), answer("cmp-2", domain("web")))) == ["not-allowed"]


def test_guest_that_only_arrives_is_no_copy() -> None:
    assert rules(seen(answer("cmp-1", domain("web")), answer("cmp-2", domain("web", state="migrating")))) == []


def test_recorded_guest_that_does_not_run_is_named() -> None:
    assert rules(seen(answer("cmp-1"), answer("cmp-2"))) == ["runs-otherwise"]


def test_nothing_is_concluded_of_a_host_that_was_not_seen() -> None:
    assert rules(seen(silent("cmp-1"), answer("cmp-2"))) == []


def test_stranger_is_left_alone_but_for_a_disk_of_ours() -> None:
    other = domain("other", epoch=0, disks=("/nas/b",))
    ours = answer("cmp-1", domain("web", disks=("/nas/a",)), shared=NAS)
    assert rules(seen(ours, answer("cmp-2", other, shared=NAS))) == []
    thief = other.model_copy(update={"disks": ("/mnt/nas/a",)})
    found = seen(ours, answer("cmp-2", thief, shared=ELSEWHERE))
    assert [b.message for b in find_breaches(found)] == [
        "two write to /nas/a: web on cmp-1 (epoch 1), other on cmp-2 (epoch 0)"
    ]


def test_stranger_with_a_mark_that_the_store_has_not_given_is_named() -> None:
    assert rules(seen(answer("cmp-1", domain("web")), answer("cmp-2", domain("lost", epoch=4)))) == ["not-allowed"]


def two_with(disk: str, *, shareable: tuple[str, ...] = ()) -> list[str]:
    one, other = (domain(name, epoch=0, disks=(disk,), shareable=shareable) for name in ("x", "y"))
    return rules(seen(answer("cmp-1", domain("web"), one, shared=NAS), answer("cmp-2", other, shared=NAS)))


def test_disks_are_one_where_their_name_says_so() -> None:
    export = "nbd:3f0c8a52-6b0e-4a57-9b2e-0d6a8a4f1c11"
    for disk in ("/nas/a", "rbd:pool/image", "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4", export):
        assert two_with(disk) == ["disk-of-two"], disk
        assert two_with(disk, shareable=(disk,)) == [], disk
    for disk in ("/var/lib/a", "pool/volume", "nbd:export", "nbd:", "/dev/disk/by-id/virtio-1", "/dev/sda"):
        assert two_with(disk) == [], disk


def test_one_disk_twice_on_one_host_is_named_wherever_it_lies() -> None:
    one, other = (domain(name, epoch=0, disks=("/var/lib/a",)) for name in ("x", "y"))
    assert rules(seen(answer("cmp-1", domain("web"), one, other), answer("cmp-2"))) == ["disk-of-two"]


def test_who_does_not_answer_is_named_and_who_is_proven_off_is_not() -> None:
    off = (host("cmp-1", state="down", fenced=True), host("cmp-2"), host("cmp-3"), host("cmp-4"))
    failing = m.HostAnswer(host="cmp-3", why_not="libvirt on cmp-3 does not answer")
    told = missing(silent("cmp-1"), silent("cmp-2"), failing, hosts=off)
    assert told == (
        "cmp-2 was not seen: it does not answer",
        "cmp-3 was not seen: libvirt on cmp-3 does not answer",
        "cmp-4 was not seen: there was no time left to ask it",
        "what the disks say: they are not on this machine",
    )


def test_host_that_answers_behind_its_fence_is_seen() -> None:
    fenced = (host("cmp-1", state="down", fenced=True), host("cmp-2"))
    assert rules(seen(answer("cmp-1", domain("web")), answer("cmp-2"), hosts=fenced)) == ["false-evidence"]


def test_another_board_in_the_place_of_a_host_is_named() -> None:
    found = seen(answer("cmp-1", domain("web"), hypervisor_uuid="another"), answer("cmp-2"))
    assert "another-hypervisor" in rules(found)


def test_hosts_that_could_not_be_asked_are_told_in_one_line() -> None:
    told = missing(answer("cmp-1", domain("web")), why="Temporal does not answer at here")
    assert told[0] == "cmp-2, and what it has seen of the store: Temporal does not answer at here"
    told = missing(why="Temporal does not answer at here")
    assert told[0] == "cmp-1, cmp-2, and what they have seen of the store: Temporal does not answer at here"


def test_disks_that_a_host_does_not_tell_are_named() -> None:
    told = missing(answer("cmp-1", domain("web", disks=None)), answer("cmp-2"))
    assert told[0] == "the disks of 1 guest on cmp-1: it does not say which they are"


def test_host_that_was_silent_once_is_told_in_every_look_and_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    async def ask(self: HostObserver) -> Answers:
        asked.append([each.host for each in self._hosts])
        return Answers(answers=(answer("cmp-1", domain("web")), silent("cmp-2"))[: len(self._hosts)])

    monkeypatch.setattr(HostObserver, "_ask", ask)
    observer = HostObserver(Settings(), [m.ProbeRequest(host=f"cmp-{n}", hypervisor_uuid=None) for n in (1, 2)])
    looks = [observer.look(lambda: world().rows)[1].missing for _ in range(3)]
    assert looks == [("cmp-2 was not seen: it does not answer", "what the disks say: they are not on this machine")] * 3
    assert asked == [["cmp-1", "cmp-2"], ["cmp-1"], ["cmp-1"]]


def test_check_goes_on_where_temporal_is_away() -> None:
    settings = Settings(temporal_address="127.0.0.1:9")
    observer = HostObserver(settings, [m.ProbeRequest(host=f"cmp-{n}", hypervisor_uuid=None) for n in (1, 2)])
    for _ in range(2):
        _, sight = observer.look(lambda: world().rows)
        assert sight.missing[0].startswith(
            "cmp-1, cmp-2, and what they have seen of the store: Temporal does not answer"
        )
        assert sight.guests == ()


def test_hosts_without_domains_are_seen_by_their_guests() -> None:
    def of(*guests: m.GuestState) -> m.HostAnswer:
        return answer("cmp-1", domains=None, guests=guests)

    running = m.GuestState(instance_id="id-web", epoch=1, power_state=PowerState.RUNNING)
    assert rules(seen(of(running), answer("cmp-2"))) == []
    assert rules(seen(of(running.model_copy(update={"paused": True})), answer("cmp-2"))) == ["runs-otherwise"]
    assert rules(seen(of(running.model_copy(update={"power_state": PowerState.SHUTDOWN})), answer("cmp-2"))) == [
        "runs-otherwise"
    ]


def test_older_epoch_that_runs_is_named() -> None:
    again = {"instances": (instance("web", "cmp-1", epoch=2),), "residences": (residence("web", "cmp-1", 2),)}
    assert "not-allowed" in rules(seen(answer("cmp-1", domain("web")), answer("cmp-2"), **again))
