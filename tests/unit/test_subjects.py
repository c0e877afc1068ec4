"""What a fault rule's host and instance mean, for messages that name only their attempt."""

from pathlib import Path

from embedded.subjects import MOST_ATTEMPTS, Subjects
from evacuation import messages as m


def claim(number: int) -> m.ClaimCapacity:
    ref = m.AttemptRef(evacuation_id=f"evacuation-{number}", owner="run-1", instance_id="instance-1", attempt=1)
    return m.ClaimCapacity.model_construct(ref=ref, target=None, excluded={})


def destination(host: str) -> m.Destination:
    return m.Destination(host=host, hypervisor_uuid=None, incarnation=None, epoch=1)


def test_later_messages_of_an_attempt_are_about_its_destination(tmp_path: Path):
    subjects = Subjects(tmp_path / "names.json")
    subjects.learn(claim(1), destination("cmp-2"))
    hosts, _ = subjects.of(m.Undo(ref=claim(1).ref))
    assert hosts == {"cmp-2"}


def test_destinations_of_old_attempts_are_forgotten(tmp_path: Path):
    subjects = Subjects(tmp_path / "names.json")
    for number in range(MOST_ATTEMPTS + 5):
        subjects.learn(claim(number), destination("cmp-2"))
    assert subjects.of(m.Undo(ref=claim(0).ref))[0] == frozenset()
    assert subjects.of(m.Undo(ref=claim(MOST_ATTEMPTS + 4).ref))[0] == {"cmp-2"}
