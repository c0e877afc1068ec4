"""Names that several processes must agree on, and what a name may be."""

import pytest

from evacuation import names


@pytest.mark.parametrize("name", ["cmp-1", "a", "7", "CMP_1.example.org", "a" * 63])
def test_name_is_a_name_when_it_has_letters_digits_dot_dash_underscore(name: str):
    assert names.is_name(name)


@pytest.mark.parametrize(
    "name", ["", "-cmp", ".cmp", "_cmp", "..", "cmp 1", "cmp/1", "cmp\n", "\ncmp", "cmp\0", "ü", "a" * 64]
)
def test_name_is_no_name_when_it_could_be_something_else(name: str):
    assert not names.is_name(name)


def test_queues_of_a_host_are_apart_from_each_other_and_from_the_control_queue():
    queues = [names.host_queue("cmp-1"), names.probe_queue("cmp-1"), names.return_queue("cmp-1"), names.CONTROL_QUEUE]
    assert queues == ["host.cmp-1", "host.cmp-1.probe", "host.cmp-1.return", "evacuation"]


def test_workflow_ids_are_the_locks_that_other_programs_know():
    assert names.evacuate_instance_id("i-1") == "evacuate-instance/i-1"
    assert names.return_host_id("cmp-1") == "return-host/cmp-1"
    assert names.delete_instance_id("i-1") == "delete-instance/i-1"


@pytest.mark.parametrize(
    "form",
    [
        "0f2c1d3a-0b8e-4d5f-9a61-00000000000f",
        "0F2C1D3A-0B8E-4D5F-9A61-00000000000F",
        "0f2c1d3a0b8e4d5f9a6100000000000f",
        "{0f2c1d3a-0b8e-4d5f-9a61-00000000000f}",
        "urn:uuid:0f2c1d3a-0b8e-4d5f-9a61-00000000000f",
    ],
)
def test_id_is_read_in_every_form_of_a_uuid(form: str):
    assert names.as_id(form) == "0f2c1d3a-0b8e-4d5f-9a61-00000000000f"


@pytest.mark.parametrize("name", ["web-01", "", "0f2c1d3a", "0f2c1d3a-0b8e-4d5f-9a61-00000000000g", "ü" * 32])
def test_name_that_is_no_uuid_is_no_id(name: str):
    assert names.as_id(name) is None
