"""What a host's worker says, and what it counts for: in a run of today, and in one from before a patch."""

import pytest

from evacuation.messages import ProbeAnswer, ProbeRequest, Tuning
from workflows.engine import probing
from workflows.engine.failures import Failure
from workflows.engine.probing import ANOTHER_BOOT, ERRORS_ANSWER, counts, is_there

ANSWER = ProbeAnswer(host="cmp-2", incarnation="boot-1", in_service=True)
ERROR = Failure(type="HypervisorError", message="the disk of the system is dying")
ERROR_OF_BOOT = Failure(type="HypervisorError", message="it cannot tell", incarnation="boot-1")
EVERY_PATCH = frozenset({ANOTHER_BOOT, ERRORS_ANSWER})


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch):
    """`told(answer, patches)`: what the host says, and which patches the run has. Gives what was asked for."""

    def tell(answer: object = None, patches: frozenset[str] = EVERY_PATCH) -> list[str]:
        asked: list[str] = []

        async def answers(*_: object, **__: object) -> object:
            return answer

        def patched(name: str) -> bool:
            asked.append(name)
            return name in patches

        monkeypatch.setattr(probing, "probe", answers)
        monkeypatch.setattr(probing.workflow, "patched", patched)
        return asked

    return tell


@pytest.mark.parametrize(
    ("answer", "now", "before"),
    [(None, False, False), (ANSWER, True, True), (ERROR, True, False), (ERROR_OF_BOOT, True, False)],
    ids=["silence", "answer", "error", "error-of-a-boot"],
)
def test_error_counts_since_the_patch_and_an_answer_always(told, answer, now: bool, before: bool):
    told()
    assert counts(answer) == now
    told(patches=frozenset())
    assert counts(answer) == before


@pytest.mark.parametrize("answer", [None, ANSWER], ids=["silence", "answer"])
def test_no_patch_is_asked_for_where_none_is_needed(told, answer):
    """It would be written to histories that have no use for it."""
    asked = told()
    counts(answer)
    assert asked == []


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
    """A worker that is doubted makes its host come back anew."""
    asked: list[ProbeRequest] = []

    async def answers(_: object, request: ProbeRequest, *__: object, **___: object) -> ProbeAnswer:
        asked.append(request)
        return ANSWER

    monkeypatch.setattr(probing, "ask", answers)
    monkeypatch.setattr(probing.workflow, "patched", lambda _: True)
    await is_there("cmp-2", "uuid", Tuning())
    await probing.probe("cmp-2", None, Tuning(), doubted=True)
    assert [(each.host, each.hypervisor_uuid, each.doubted) for each in asked] == [
        ("cmp-2", "uuid", False),
        ("cmp-2", None, True),
    ]


@pytest.mark.parametrize("answer", [ANSWER, ERROR_OF_BOOT], ids=["answer", "error"])
async def test_another_boot_was_there_before_the_patch(told, answer):
    told(answer, frozenset({ERRORS_ANSWER}))
    assert await is_there("cmp-2", None, Tuning(), boot="boot-0")
