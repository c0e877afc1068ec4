"""What libvirt saved of a guest, what somebody else started of it, and a start: what runs is what was to be started."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from evacuation.errors import DestinationUnableError, SpawnFailedError
from evacuation.model import PowerState
from services.definitions.libvirt.metadata import mark_text
from services.definitions.libvirt.names import NAMESPACE, PREFIX
from services.hypervisors.libvirt.api import LibvirtError
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.driver import LibvirtHypervisor
from services.hypervisors.libvirt.helper import Operations
from tests.integration.hypervisors.worlds import INSTANCE, LibvirtWorld, call, spawn, spec

RUNNING, SHUT_DOWN = PowerState.RUNNING, PowerState.SHUTDOWN
LIVE, ELEMENT = 1, 2


class Bench:
    """The driver on a libvirt of this very process, to which an operator speaks, too."""

    def __init__(self, world: LibvirtWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        libvirt = importlib.import_module("libvirt")
        libvirt.registerErrorHandler(lambda *_: None, None)
        options = world.options("cmp-1")
        self.libvirt = libvirt.open(options.uri)
        operations = Operations(libvirt, self.libvirt)

        def run(_: object, what: str, given: tuple[Any, ...], *__: object) -> Any:
            try:
                return getattr(operations, what)(*given)
            except libvirt.libvirtError as error:
                code, domain = error.get_error_code(), error.get_error_domain()
                raise LibvirtError(code, domain, str(error)) from error

        monkeypatch.setattr(LibvirtConnection, "_run", run)
        self.driver = LibvirtHypervisor(options)

    @property
    def domain(self) -> Any:
        return self.libvirt.lookupByUUIDString(INSTANCE)

    def save(self) -> None:
        """As `virsh managedsave`."""
        self.domain.managedSave()
        assert self.domain.hasManagedSaveImage()

    def guests(self) -> list[tuple[int, PowerState]]:
        return [(guest.epoch, guest.power_state) for guest in self.driver.inventory()]


@pytest.fixture
def bench(libvirt_world: LibvirtWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(libvirt_world, monkeypatch)
    yield bench
    bench.libvirt.close()


@pytest.mark.parametrize("power_state", [RUNNING, SHUT_DOWN])
def test_saved_state_is_dropped_and_named_before_a_start(bench: Bench, power_state: PowerState) -> None:
    spawn(bench.driver, spec(1))
    bench.save()
    beats: list[str] = []
    started = bench.driver.spawn(spec(2, power_state=power_state), last_look=lambda: None, beat=beats.append)
    assert bench.guests() == [(2, power_state)]
    assert not bench.domain.hasManagedSaveImage()
    assert started.note == "dropped what was saved of web-01 on cmp-1 (virsh managedsave): it boots again"
    assert started.note in beats


def test_nothing_is_named_where_nothing_was_saved(bench: Bench) -> None:
    assert spawn(bench.driver, spec(1)).note == ""
    assert spawn(bench.driver, spec(1)).note == ""


def test_saved_guest_leaves_nothing_when_it_is_destroyed(bench: Bench) -> None:
    spawn(bench.driver, spec(1))
    bench.save()
    bench.driver.destroy(INSTANCE, 1)
    assert bench.guests() == []
    spawn(bench.driver, spec(2))
    assert not bench.domain.hasManagedSaveImage()


def test_start_fails_and_leaves_nothing_when_what_runs_carries_another_mark(bench: Bench) -> None:
    """As a guest that came back from what was saved of it, in the moment before the create."""
    create = bench.driver._domains.create

    def restore(*given: Any, **options: Any) -> None:
        create(*given, **options)
        bench.domain.setMetadata(ELEMENT, mark_text(INSTANCE, 1, None), PREFIX, NAMESPACE, LIVE)

    bench.driver._domains.create = restore
    with pytest.raises(SpawnFailedError, match="says epoch 1, and 2 was started"):
        spawn(bench.driver, spec(2))
    assert bench.guests() == []


def test_settle_does_not_go_forward_with_a_guest_of_another_mark(bench: Bench) -> None:
    spawn(bench.driver, spec(2))
    bench.domain.setMetadata(ELEMENT, mark_text(INSTANCE, 1, None), PREFIX, NAMESPACE, LIVE)
    assert not bench.driver.settle(call(2))
    assert bench.guests() == []


def test_transient_domain_is_foreign_to_a_start_and_gone_after_a_destroy(bench: Bench) -> None:
    bench.libvirt.createXML(
        f"<domain type='test'><name>by-hand</name><uuid>{INSTANCE}</uuid><memory>65536</memory>"
        "<os><type>hvm</type></os></domain>"
    )
    assert bench.guests() == [(0, RUNNING)]
    with pytest.raises(DestinationUnableError, match="epoch 0"):
        spawn(bench.driver, spec(2))
    assert bench.guests() == [(0, RUNNING)]
    bench.driver.destroy(INSTANCE, 2)
    assert bench.guests() == []
    spawn(bench.driver, spec(3))


def test_guest_with_snapshots_is_gone_after_a_destroy(bench: Bench) -> None:
    spawn(bench.driver, spec(1))
    bench.domain.snapshotCreateXML("<domainsnapshot><name>before</name></domainsnapshot>")
    bench.driver.destroy(INSTANCE, 1)
    assert bench.guests() == []
