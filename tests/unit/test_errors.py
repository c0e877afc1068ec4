"""The error tree: a class's name is what other programs read."""

import pytest

from evacuation.errors import BY_NAME, REFUSALS, EvacuateError, NoValidHostError, Refusal
from evacuation.model import Rejection

RETRYABLE = {
    "BmcUnreachableError",
    "CutOverError",
    "HypervisorUnavailableError",
    "CapacityNotYetError",
    "DestinationBusyError",
    "EndNotRecordedError",
    "HostsNotAskedError",
    "FenceFailedError",
    "GuestBusyError",
    "HostSlowError",
    "NobodyWaitsError",
    "PowerUnreadError",
    "SpawnFailedError",
    "StorageNotRevokedError",
    "StoreUnavailableError",
    "TemporalUnavailableError",
    "VolumeServiceError",
}
BENIGN = {"CapacityNotYetError", "DestinationBusyError", "HostsNotAskedError"}
PROMISED_REFUSALS = {
    "InstanceNotFoundError",
    "HostNotFoundError",
    "TargetDisabledError",
    "TargetIsSourceError",
    "MalformedRequestError",
    "ContradictoryOptionsError",
    "VmStateNotEvacuableError",
    "SourceAnswersError",
    "SourceNotFencedError",
    "RootDiskNotSharedError",
    "EvacuationRunningError",
}
"""One for each reason that a request is refused for."""


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_error_is_found_by_its_name_and_says_what_it_means(name: str):
    error = BY_NAME[name]
    assert error.__name__ == name
    assert error.__module__.startswith("evacuation.errors.")
    assert name.endswith("Error") or error is Refusal
    assert error.__doc__


def test_errors_that_the_same_call_may_outlive_are_retryable():
    assert {name for name, error in BY_NAME.items() if error.retryable} == RETRYABLE


def test_errors_that_are_an_expected_not_yet_are_benign_and_retryable():
    assert {name for name, error in BY_NAME.items() if error.benign} == BENIGN
    assert BENIGN < RETRYABLE


def test_every_reason_to_refuse_a_request_is_a_refusal():
    assert PROMISED_REFUSALS <= REFUSALS


def test_refusals_are_final():
    assert not REFUSALS & RETRYABLE


def test_errors_of_a_running_evacuation_are_no_refusals():
    assert not REFUSALS & {"NoValidHostError", "FenceFailedError", "InstanceChangedError", "StaleAttemptError"}


def test_error_says_cause_and_remedy_in_one_line():
    assert EvacuateError("it is so", remedy="do that").line == "it is so: do that"
    assert EvacuateError("it is so").line == str(EvacuateError("it is so")) == "it is so"


def test_error_detail_carries_message_remedy_and_hosts():
    full = Rejection(host="cmp-2", reason="full")
    detail = NoValidHostError("no host fits", remedy="add one", hosts=(full,)).detail
    assert (detail.message, detail.remedy, detail.hosts) == ("no host fits", "add one", (full,))


def test_error_says_its_remedy_once_when_its_message_has_it_already():
    assert EvacuateError("cmp-2: locked: fence it", remedy="fence it").line == "cmp-2: locked: fence it"
    assert EvacuateError("locked", remedy="fence it").line == "locked: fence it"
    assert EvacuateError("locked").line == "locked"
