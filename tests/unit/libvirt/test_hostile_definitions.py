"""What a definition can say that takes long, or that nobody can hold: it is refused in one line, at once."""

import time

import pytest

from evacuation.errors import DestinationUnableError, MalformedDefinitionError
from evacuation.model import Frozen
from services.definitions.libvirt.definition import parse_definition
from services.definitions.libvirt.metadata import epoch_in
from services.definitions.libvirt.trees import DEEPEST, MOST_ELEMENTS
from services.hypervisors.libvirt.api import LibvirtError
from services.hypervisors.libvirt.failures import spawn_failure
from services.hypervisors.libvirt.report import guests_of
from services.hypervisors.libvirt.rewriting import parse
from tests.unit.libvirt.test_large_definitions import domain, survey
from tests.unit.libvirt.world import STORED

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
BOMB = f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY l0 "ha">{LAUGHS}]>'
DIGITS = "9" * 5000


class Hostile(Frozen):
    text: str
    why: str


def inside(element: str) -> str:
    return STORED.replace("<devices>", f"{element}<devices>")


HOSTILE = {
    "entities": Hostile(text=BOMB + inside("<description>&l11;</description>"), why="has a document type"),
    "depth": Hostile(text=inside("<a>" * 40_000 + "</a>" * 40_000), why=f"more than {DEEPEST} elements deep"),
    "elements": Hostile(text=inside("<alias/>" * MOST_ELEMENTS), why=f"more than {MOST_ELEMENTS:,} elements"),
}
NUMBERS = {
    "vcpus": (">2</vcpu>", f">{DIGITS}</vcpu>", "<vcpu> is '999"),
    "many vcpus": (">2</vcpu>", ">9999999999</vcpu>", "<vcpu> is '9999999999'"),
    "memory": (">524288</memory>", f">{DIGITS}</memory>", "<memory> is '999"),
    "much memory": (">524288</memory>", ">999999999999999999</memory>", "<memory> is '999"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_such_a_definition_is_refused_at_once_by_whoever_reads_it(name: str) -> None:
    began, hostile = time.thread_time(), HOSTILE[name]
    with pytest.raises(MalformedDefinitionError, match=hostile.why):
        parse_definition(hostile.text)
    with pytest.raises(DestinationUnableError, match=f"the definition of web-01 .*{hostile.why}"):
        parse(hostile.text, "web-01")
    assert time.thread_time() - began < 2.0, "seconds of the processor"


@pytest.mark.parametrize("name", NUMBERS)
def test_such_a_number_is_refused_and_shown_short(name: str) -> None:
    old, new, why = NUMBERS[name]
    with pytest.raises(MalformedDefinitionError, match=why) as caught:
        parse_definition(STORED.replace(old, new))
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("epoch", [DIGITS, "99999999999"])
def test_mark_with_such_an_epoch_is_none(epoch: str) -> None:
    """Not ours: we gave no such epoch."""
    mark = f"<instance epoch='{epoch}'/>"
    assert epoch_in(mark) == 0
    namespaced = f"<e:instance xmlns:e='https://evacuate.dev/xmlns/instance/1' epoch='{epoch}'/>"
    assert parse_definition(STORED.replace("<metadata>", f"<metadata>{namespaced}")).epoch == 0


def test_report_names_such_a_guest_and_keeps_no_other_back() -> None:
    hostile = domain(2, text=STORED.replace(*NUMBERS["vcpus"][:2]))
    told, left = guests_of(survey(domain(1), hostile, domain(3)))
    assert (len(told), [each.name for each in left]) == (2, ["vm-02"])


def test_failure_with_a_strangers_names_in_it_is_read_at_once() -> None:
    began = time.thread_time()
    cause = "Failed to connect to " * 50_000
    assert type(spawn_failure(LibvirtError(1, 1, cause), guest="web-01", host="cmp-2")).__name__ == "SpawnFailedError"
    assert time.thread_time() - began < 1.0, "seconds of the processor"
