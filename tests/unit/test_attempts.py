"""Which destination may be tried again, when none is left, and what is said then."""

import pytest

from evacuation.errors import BY_NAME, FenceFailedError
from evacuation.messages import Destination, Tuning
from evacuation.transitions import EndingCause
from workflows.engine.failures import Failure
from workflows.evacuating.attempts import FINAL_CAUSES, Attempts

FAILED = Failure(type="SpawnFailedError", message="the hypervisor failed")
REFUSED = Failure(type="DestinationUnableError", message="a foreign guest is there", retryable=False)
SILENT = Failure(type="TimeoutError", message="no answer", silent=True)
NOT_TAKEN = Failure(type="TimeoutError", message="no worker took it", silent=True, not_started=True)
CANCELLED = Failure(type="CancelledError", message="cancelled", retryable=False, cancelled=True)
NO_HOST = Failure(type="NoValidHostError", message="no host fits", retryable=False)


def to(host: str) -> Destination:
    return Destination(host=host, hypervisor_uuid=None, incarnation=None, epoch=1)


def attempts(**limits: int) -> Attempts:
    return Attempts(Tuning.model_validate(limits))


@pytest.mark.parametrize(
    ("failure", "result"), [(FAILED, "failed"), (REFUSED, "refused"), (SILENT, "unknown"), (CANCELLED, "cancelled")]
)
def test_attempts_keep_what_became_of_each(failure: Failure, result: str):
    tried = attempts()
    tried.note(to("cmp-2"), failure)
    assert [(r.host, r.result, r.reason) for r in tried.results] == [("cmp-2", result, failure.line)]


@pytest.mark.parametrize("failure", [REFUSED, NOT_TAKEN])
def test_attempts_exclude_a_host_at_once_when_it_refused_or_nobody_was_there(failure: Failure):
    tried = attempts()
    tried.note(to("cmp-2"), failure)
    assert tried.excluded == {"cmp-2": failure.line}


@pytest.mark.parametrize("failure", [FAILED, SILENT])
def test_attempts_exclude_a_host_after_its_second_failure_that_might_have_passed(failure: Failure):
    tried = attempts()
    tried.note(to("cmp-2"), failure)
    tried.note(to("cmp-3"), failure)
    assert tried.excluded == {}
    tried.note(to("cmp-2"), failure)
    assert tried.excluded == {"cmp-2": failure.line}


def test_attempts_keep_nothing_when_no_destination_was_claimed():
    tried = attempts()
    tried.note(None, NO_HOST)
    assert (tried.results, tried.excluded) == ([], {})


def test_attempts_are_numbered_from_one_until_they_are_used_up():
    tried = attempts(max_attempts=2)
    assert (tried.next(), tried.used_up, tried.next(), tried.used_up) == (1, False, 2, True)


def test_attempts_are_numbered_on_after_an_adoption_and_may_be_as_many_again():
    tried = attempts(max_attempts=2)
    tried.start_after(3)
    assert (tried.next(), tried.used_up, tried.next(), tried.used_up) == (4, False, 5, True)


def test_cause_is_no_host_when_nothing_was_ever_claimed():
    assert attempts().cause_when_none_is_left is EndingCause.NO_HOST


def test_cause_is_preparation_when_no_attempt_got_past_it():
    tried = attempts()
    tried.note(to("cmp-2"), REFUSED)
    assert tried.cause_when_none_is_left is EndingCause.ALL_REFUSED_IN_PREPARATION


def test_cause_is_the_latest_stage_when_only_one_attempt_reached_it():
    tried = attempts()
    tried.past_preparation = True
    tried.note(to("cmp-2"), FAILED)
    tried.note(to("cmp-3"), REFUSED)
    assert tried.cause_when_none_is_left is EndingCause.LATER_STEP_FAILED


def test_explanation_names_every_host_that_was_tried_and_why_none_is_left():
    tried = attempts()
    tried.note(to("cmp-2"), FAILED)
    tried.note(to("cmp-3"), REFUSED)
    told = "cmp-2: the hypervisor failed; cmp-3: a foreign guest is there"
    assert tried.explain(REFUSED) == told
    assert tried.explain(NO_HOST) == f"{told}; then no host fits"


def test_explanation_is_the_failure_itself_when_nothing_was_tried():
    assert attempts().explain(NO_HOST) == "no host fits"


def test_failures_that_no_other_destination_mends_end_it():
    fence_failures = [name for name, error in BY_NAME.items() if issubclass(error, FenceFailedError)]
    assert "BmcCredentialsError" in fence_failures
    assert (
        dict.fromkeys(fence_failures, EndingCause.FENCE_FAILED)
        | {
            "SourceNotFencedError": EndingCause.FENCE_FAILED,
            "SourceAnswersError": EndingCause.SOURCE_RETURNED,
            "SourceReturnedError": EndingCause.SOURCE_RETURNED,
            "ResidenceNotProvenError": EndingCause.SOURCE_RETURNED,
            "InstanceMisplacedError": EndingCause.MISPLACED,
            "DiskLockedError": EndingCause.LATER_STEP_FAILED,
            "SignalPatternError": EndingCause.LATER_STEP_FAILED,
            "ObjectGoneError": EndingCause.LATER_STEP_FAILED,
            "VolumeImageGoneError": EndingCause.LATER_STEP_FAILED,
            "StoreBehindError": EndingCause.LATER_STEP_FAILED,
            "StoreOwnedError": EndingCause.LATER_STEP_FAILED,
        }
        == FINAL_CAUSES
    )
