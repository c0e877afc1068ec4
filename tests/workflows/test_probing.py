"""What a host's worker says, and what it counts for."""

import pytest

from evacuation.messages import ProbeAnswer, ProbeRequest, Tuning
from workflows.engine import probing
from workflows.engine.failures import Failure
from workflows.engine.probing import is_there

ANSWER = ProbeAnswer(host="cmp-2", incarnation="boot-1", in_service=True)
ERROR = Failure(type="HypervisorError", message="the disk of the system is dying")
ERROR_OF_BOOT = Failure(type="HypervisorError", message="it cannot tell", incarnation="boot-1")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch):
    """`told(answer)`: what the host says."""

    def tell(answer: object) -> None:
        async def answers(*_: object, **__: object) -> object:
            return answer

        monkeypatch.setattr(probing, "probe", answers)

    return tell


@pytest.mark.parametrize(
    ("answer", "boot", "there"),
    [
        (None, None, False),
        (None, "boot-1", False),
        (ANSWER, None, True),
        (ANSWER, "boot-1", True),
        (ANSWER, "boot-0", False),
        (ERROR, None, True),
        (ERROR, "boot-1", True),
        (ERROR_OF_BOOT, "boot-1", True),
        (ERROR_OF_BOOT, "boot-0", False),
    ],
)
async def test_another_boot_is_not_there_and_an_error_that_names_none_is(told, answer, boot: str | None, there: bool):
    told(answer)
    assert await is_there("cmp-2", None, Tuning(), boot=boot) == there


async def test_who_is_asked_whether_it_is_there_is_not_called_doubted(monkeypatch: pytest.MonkeyPatch):
    """A worker that is doubted makes its host come back again."""
    asked: list[ProbeRequest] = []

    async def answers(_: object, request: ProbeRequest, *__: object, **___: object) -> ProbeAnswer:
        asked.append(request)
        return ANSWER

    monkeypatch.setattr(probing, "ask", answers)
    await is_there("cmp-2", "uuid", Tuning())
    await probing.probe("cmp-2", None, Tuning(), doubted=True)
    assert [(each.host, each.hypervisor_uuid, each.doubted) for each in asked] == [
        ("cmp-2", "uuid", False),
        ("cmp-2", None, True),
    ]
