"""What an error of the domain becomes on its way to a workflow."""

import pytest
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.failures import Boot, FailureInterceptor, application_error
from evacuation.errors import BY_NAME, CapacityNotYetError, ErrorDetail, EvacuateError, FenceFailedError
from evacuation.model import Rejection

FULL = Rejection(host="cmp-2", reason="full")


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_application_error_has_the_class_as_type_and_its_retryability(name: str):
    error = application_error(BY_NAME[name]("it is so"))
    assert (error.type, error.message) == (name, "it is so")
    assert error.non_retryable is not BY_NAME[name].retryable


def test_application_error_is_benign_only_when_it_is_an_expected_not_yet():
    assert application_error(CapacityNotYetError("not yet")).category is ApplicationErrorCategory.BENIGN
    assert application_error(FenceFailedError("on")).category is ApplicationErrorCategory.UNSPECIFIED


def test_application_error_carries_one_detail_with_remedy_and_hosts():
    error = EvacuateError("it is so", remedy="do that", hosts=(FULL,))
    assert application_error(error).details == (ErrorDetail(remedy="do that", hosts=(FULL,)),)


class Raises(ActivityInboundInterceptor):
    """The innermost step: an activity that fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def execute_activity(self, input: ExecuteActivityInput) -> None:
        raise self._error


async def raised_through_interceptor(error: Exception, boot: Boot | None = None) -> BaseException:
    chain = FailureInterceptor(boot).intercept_activity(Raises(error))
    nothing = ExecuteActivityInput(fn=lambda: None, args=(), executor=None, headers={})
    with pytest.raises(Exception) as caught:
        await ActivityEnvironment().run(chain.execute_activity, nothing)
    return caught.value


async def test_interceptor_turns_an_error_of_the_domain_into_an_application_error():
    error = await raised_through_interceptor(FenceFailedError("on", remedy="pull the plug"))
    assert getattr(error, "type", None) == "FenceFailedError"


async def test_interceptor_leaves_an_unknown_error_as_it_is():
    unknown = KeyError("what")
    assert await raised_through_interceptor(unknown) is unknown


@pytest.mark.parametrize("error", [FenceFailedError("on"), OSError(5, "Input/output error")])
async def test_error_of_a_hosts_own_worker_says_which_boot_says_it(error: Exception):
    failure = await raised_through_interceptor(error, lambda: "boot-1")
    assert isinstance(failure, ApplicationError) and failure.type == type(error).__name__
    assert [(d.incarnation, d.message in str(failure)) for d in failure.details] == [("boot-1", True)]
    assert failure.non_retryable is False


async def test_error_that_names_its_boot_itself_keeps_it():
    error = FenceFailedError("on")
    error.incarnation = "boot-1"
    failure = await raised_through_interceptor(error, lambda: "boot-2")
    assert isinstance(failure, ApplicationError) and failure.details[0].incarnation == "boot-1"


async def test_fault_that_was_asked_for_says_no_boot():
    fault = ApplicationError("injected fault", type="InjectedFaultError", non_retryable=True)
    assert await raised_through_interceptor(fault, lambda: "boot-1") is fault
