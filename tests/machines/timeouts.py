"""Timeouts that nobody has to wait for."""

import dataclasses

from temporalio.api.failure.v1 import Failure
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ApplicationError, TimeoutError, TimeoutType

from services.runtime.small_failures import SmallFailures
from services.runtime.temporal import DATA_CONVERTER


class Timeouts(SmallFailures):
    """A worker that says "I time out" has timed out, so far as a workflow can tell: nobody has to wait for it."""

    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        kind = failure.application_failure_info.type
        if kind in TimeoutType.__members__:
            return TimeoutError(failure.message, type=TimeoutType[kind], last_heartbeat_details=[])
        return super().from_failure(failure, payload_converter)


CONVERTER = dataclasses.replace(DATA_CONVERTER, failure_converter_class=Timeouts)


def timed_out(kind: TimeoutType) -> ApplicationError:
    return ApplicationError("no answer", type=kind.name, non_retryable=True)
