"""Which boot of its host a worker says that it runs in."""

from typing import Any

from activities.identity import Boot
from evacuation.errors import HypervisorUnavailableError
from evacuation.ports import HostIdentity

ME = HostIdentity(hypervisor_uuid="uuid", machine_id="machine", incarnation="boot-1")


class Hypervisor:
    """Answers `identity` with what it is given, one after the other."""

    def __init__(self, *answers: HostIdentity | BaseException) -> None:
        self._answers = list(answers)

    def identity(self) -> HostIdentity:
        answer = self._answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def boots(*answers: HostIdentity | BaseException) -> list[str | None]:
    hypervisor: Any = Hypervisor(*answers)
    boot = Boot(hypervisor)
    return [boot() for _ in answers]


def test_boot_is_read_once_and_known_when_the_hypervisor_has_died():
    assert boots(ME, HypervisorUnavailableError("dead"), OSError(5, "disk")) == ["boot-1"] * 3


def test_boot_that_cannot_be_read_is_asked_for_again():
    assert boots(OSError(5, "disk"), HypervisorUnavailableError("not yet"), ME) == [None, None, "boot-1"]


def test_boot_is_known_from_an_error_that_says_it():
    error = HypervisorUnavailableError("never answered yet")
    error.incarnation = "boot-1"
    assert boots(error) == ["boot-1"]


def test_system_that_does_not_tell_its_boot_says_none():
    assert boots(ME.model_copy(update={"incarnation": ""})) == [None]
