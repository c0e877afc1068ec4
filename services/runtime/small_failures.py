"""No failure that is made here takes more room than Temporal keeps of a retried one, whatever was raised."""

from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError, FailureError

from evacuation.texts import FAILURE_LIMIT, MESSAGE_LIMIT, shorten

LINK_LIMIT = 200
"""Bytes of each message in a chain that is too long as a whole."""


class SmallFailures(DefaultFailureConverter):
    """Without stack traces, which are as long as the path of the installation: the worker logs them. What an
    application's error was caused by does not travel; what an activity or a child failed with does."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        if not isinstance(exception, FailureError):
            text = shorten(str(exception), MESSAGE_LIMIT)
            exception = ApplicationError(text, type=type(exception).__name__)
        super().to_failure(exception, payload_converter, failure)
        _strip(failure)
        _fit(failure)


def _strip(failure: Failure) -> None:
    for each in _chain(failure):
        each.stack_trace = ""
        if each.HasField("application_failure_info"):
            each.ClearField("cause")


def _fit(failure: Failure) -> None:
    """Less and less of it, until it fits: its texts, the details, what it was caused by."""
    if failure.ByteSize() <= FAILURE_LIMIT:
        return
    for each in _chain(failure):
        each.message = shorten(each.message, MESSAGE_LIMIT)
    for shrink in (_shorten_messages, _drop_details, _drop_cause):
        if failure.ByteSize() > FAILURE_LIMIT:
            shrink(failure)


def _shorten_messages(failure: Failure) -> None:
    for each in _chain(failure):
        each.message = shorten(each.message, LINK_LIMIT)


def _drop_details(failure: Failure) -> None:
    for each in _chain(failure):
        if each.HasField("application_failure_info"):
            each.application_failure_info.ClearField("details")
        if each.HasField("canceled_failure_info"):
            each.canceled_failure_info.ClearField("details")
        if each.HasField("timeout_failure_info"):
            each.timeout_failure_info.ClearField("last_heartbeat_details")


def _drop_cause(failure: Failure) -> None:
    failure.ClearField("cause")


def _chain(failure: Failure) -> list[Failure]:
    found = [failure]
    while found[-1].HasField("cause"):
        found.append(found[-1].cause)
    return found
