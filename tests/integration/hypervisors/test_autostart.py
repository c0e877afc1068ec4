"""Autostart that comes back on a followed guest is put off by its host's report, on libvirt's own test driver."""

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from evacuation.capabilities import PutOff
from services.hypervisors.libvirt.adopting import mark_guests
from services.hypervisors.libvirt.api import LibvirtError
from services.hypervisors.libvirt.autostart import KEPT, Autostarts
from services.hypervisors.libvirt.domains import Domains
from services.hypervisors.libvirt.report import LibvirtReporter
from services.hypervisors.libvirt.survey import Survey, survey_of
from tests.integration.hypervisors.test_libvirt_domains import Bench
from tests.integration.hypervisors.worlds import INSTANCE, OTHER, LibvirtWorld, spawn, spec
from workers.report import Restless

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def bench(libvirt_world: LibvirtWorld) -> Bench:
    """A guest of ours and a stranger, both set to autostart."""
    bench = Bench(libvirt_world)
    bench.define(run=True)
    spawn(bench.driver, spec(1))
    bench.connection.run("set_autostart", INSTANCE, True)
    bench.define(name="stranger", instance=OTHER, autostart=True)
    return bench


def autostarts(bench: Bench, now: datetime = NOW) -> Autostarts:
    return Autostarts(bench.connection, bench.world.options("cmp-1").state_dir, lambda: now)


def look(bench: Bench, by: Autostarts | None = None) -> tuple[Survey, tuple[PutOff, ...]]:
    return (by or autostarts(bench)).put_off(survey_of(bench.connection, "test", host="cmp-1"))


def test_autostart_of_a_guest_of_ours_is_put_off_and_told(bench: Bench) -> None:
    found, told = look(bench)
    assert told == (PutOff(id=INSTANCE, name="web-01", at=NOW),)
    assert not bench.domains.autostarts(INSTANCE)
    assert {each.id: each.autostart for each in found.domains if each.id == INSTANCE} == {INSTANCE: False}


def test_autostart_of_a_stranger_is_left_alone(bench: Bench) -> None:
    look(bench)
    assert bench.domains.autostarts(OTHER)


def test_it_is_told_as_long_as_somebody_may_look_for_it(bench: Bench) -> None:
    by = autostarts(bench)
    assert look(bench, by)[1] == look(bench, by)[1] != ()
    assert look(bench)[1] != (), "also by the next worker"
    assert look(bench, autostarts(bench, NOW + KEPT))[1] == ()


def test_one_that_comes_back_every_night_is_told_with_its_last_time(bench: Bench) -> None:
    look(bench)
    bench.connection.run("set_autostart", INSTANCE, True)
    night = NOW + timedelta(days=1)
    assert look(bench, autostarts(bench, night))[1] == (PutOff(id=INSTANCE, name="web-01", at=night),)
    assert not bench.domains.autostarts(INSTANCE)


def test_one_that_cannot_be_put_off_is_told_as_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(what: str, *given: object, **_: object) -> object:
        raise LibvirtError(1, 10, "read-only file system")

    by, found = autostarts(bench), survey_of(bench.connection, "test", host="cmp-1")
    monkeypatch.setattr(bench.connection, "run", refuse)
    seen, (told,) = by.put_off(found)
    assert "read-only file system" in told.why_not
    assert [each.autostart for each in seen.domains if each.id == INSTANCE] == [True]


def test_it_is_put_off_also_where_nothing_can_be_kept_of_it(bench: Bench) -> None:
    bench.world.options("cmp-1").state_dir.joinpath("autostarts.json").write_text("{")
    assert [each.id for each in look(bench)[1]] == [INSTANCE]
    assert not bench.domains.autostarts(INSTANCE)


def test_report_has_what_was_put_off(bench: Bench) -> None:
    reporter = LibvirtReporter(bench.world.options("cmp-1"), bench.connection)
    said = reporter.report("boot-1").capabilities
    assert [each.name for each in said.autostarts] == ["web-01"]
    assert {each.id: each.autostart for each in said.domains if each.id in (INSTANCE, OTHER)} == {
        INSTANCE: False,
        OTHER: True,
    }
    assert said.held is None, "libvirtd is not this machine's"


def test_it_is_named_once_in_the_log(bench: Bench) -> None:
    restless, reporter = Restless(), LibvirtReporter(bench.world.options("cmp-1"), bench.connection)
    with capture_logs() as logs:
        for _ in range(3):
            restless.tell(reporter.report("boot-1").capabilities)
    assert [(each["guest"], each["event"]) for each in logs] == [
        ("web-01", "autostart of a followed guest was on and is off again")
    ]


def test_managed_save_of_a_followed_guest_is_named_and_kept(bench: Bench) -> None:
    said = LibvirtReporter(bench.world.options("cmp-1"), bench.connection).report("boot-1").capabilities
    saved = said.model_copy(
        update={
            "autostarts": (),
            "domains": tuple(each.model_copy(update={"active": False, "managed_save": True}) for each in said.domains),
        }
    )
    restless = Restless()
    with capture_logs() as logs:
        restless.tell(saved)
        restless.tell(saved)
    assert [(each["guest"], each["event"]) for each in logs] == [("web-01", "a followed guest has a managed save")]


def test_adopting_again_puts_it_off_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.hypervisors.libvirt.adopting.LibvirtConnection", lambda *_, **__: bench.connection)
    monkeypatch.setattr(bench.connection, "close", lambda: None)  # its state would go with it
    assert not mark_guests("test:///default", {INSTANCE: 1}, timeout=5), "it has its mark"
    assert not Domains(bench.connection).autostarts(INSTANCE)
    assert bench.domains.autostarts(OTHER)
