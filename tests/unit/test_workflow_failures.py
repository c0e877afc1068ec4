"""What a workflow reads from the errors that Temporal raises."""

import asyncio

import pytest
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    RetryState,
    ServerError,
    TimeoutError,
    TimeoutType,
)

from activities.failures import application_error
from evacuation.errors import BY_NAME, EvacuateError, FenceFailedError, SourceNotFencedError
from workflows.engine.failures import Failure, failure_of, failure_of_refusal


def as_received(error: EvacuateError) -> ApplicationError:
    """The detail of a failure arrives as a plain mapping: no type travels with it."""
    sent = application_error(error)
    detail = error.detail.model_dump(mode="json")
    return ApplicationError(sent.message, detail, type=sent.type, non_retryable=sent.non_retryable)


def timeout(kind: TimeoutType) -> TimeoutError:
    return TimeoutError("activity timeout", type=kind, last_heartbeat_details=[])


def of_activity(cause: BaseException) -> ActivityError:
    error = ActivityError(
        "Activity task failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="worker",
        activity_type="spawn_guest",
        activity_id="1",
        retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_failure_keeps_type_message_remedy_and_retryability_of_every_error(name: str):
    failure = failure_of(of_activity(as_received(BY_NAME[name]("it is so", remedy="do that"))))
    assert (failure.type, failure.message, failure.remedy) == (name, "it is so", "do that")
    assert failure.retryable is BY_NAME[name].retryable
    assert not (failure.silent or failure.not_started or failure.cancelled)


def test_failure_of_an_unknown_error_has_its_type_and_stays_retryable():
    failure = failure_of(of_activity(ApplicationError("boom", type="KeyError")))
    assert (failure.type, failure.message, failure.retryable) == ("KeyError", "KeyError: boom", True)


def test_failure_ignores_a_detail_that_is_not_its_own():
    failure = failure_of(of_activity(ApplicationError("boom", "text", {"other": 1}, type="OSError")))
    assert (failure.message, failure.remedy) == ("OSError: boom", "")


def test_failure_without_a_type_has_one():
    assert failure_of(ApplicationError("boom")).type == "ApplicationError"


@pytest.mark.parametrize("kind", [TimeoutType.START_TO_CLOSE, TimeoutType.HEARTBEAT, TimeoutType.SCHEDULE_TO_CLOSE])
def test_failure_is_silent_and_may_have_begun_when_an_answer_timed_out(kind: TimeoutType):
    failure = failure_of(of_activity(timeout(kind)))
    assert (failure.silent, failure.not_started, failure.retryable) == (True, False, True)
    assert kind.name.lower().replace("_", "-") in failure.message


def test_failure_has_not_started_when_no_worker_took_it():
    failure = failure_of(of_activity(timeout(TimeoutType.SCHEDULE_TO_START)))
    assert (failure.silent, failure.not_started) == (True, True)


def test_failure_tells_what_was_retried_when_the_deadline_ended_the_retries():
    deadline = timeout(TimeoutType.SCHEDULE_TO_CLOSE)
    deadline.__cause__ = as_received(FenceFailedError("the BMC is silent", remedy="look at it"))
    failure = failure_of(of_activity(deadline))
    assert (failure.type, failure.line) == ("FenceFailedError", "the BMC is silent: look at it")


def test_failure_tells_what_was_retried_when_the_server_found_it_too_long():
    replaced = ServerError("Failure exceeds size limit.")
    replaced.__cause__ = as_received(FenceFailedError("the BMC is silent", remedy="look at it"))
    deadline = timeout(TimeoutType.SCHEDULE_TO_CLOSE)
    deadline.__cause__ = replaced
    failure = failure_of(of_activity(deadline))
    assert (failure.type, failure.line) == ("FenceFailedError", "the BMC is silent: look at it")


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), CancelledError("cancelled"), of_activity(CancelledError("cancelled"))],
    ids=["asyncio", "temporal", "activity"],
)
def test_failure_is_cancelled_however_the_cancel_arrives(error: BaseException):
    failure = failure_of(error)
    assert (failure.cancelled, failure.retryable, failure.silent) == (True, False, False)


def test_failure_of_anything_else_says_at_least_what_it_is():
    assert failure_of(of_activity(RuntimeError())).message == "RuntimeError"


def test_failure_of_a_refusal_is_the_refusal():
    failure = failure_of_refusal(SourceNotFencedError("not fenced", remedy="fence it"))
    assert (failure.type, failure.line, failure.retryable) == ("SourceNotFencedError", "not fenced: fence it", False)


def test_failure_says_its_remedy_once_when_its_message_names_every_attempt():
    assert (
        Failure(type="DiskLockedError", message="cmp-2: locked: fence it", remedy="fence it").line.count("fence") == 1
    )
    assert Failure(type="DiskLockedError", message="locked", remedy="fence it").line == "locked: fence it"
