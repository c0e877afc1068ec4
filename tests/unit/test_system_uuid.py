"""Which UUIDs name one machine, and which name none."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evacuation.system_uuid import is_same, spellings, system_uuid

OURS = "4c4c4544-0031-3510-8052-b4c04f4a3733"
UUIDS = st.binary(min_size=16, max_size=16).map(lambda data: UUID(bytes=data))


@pytest.mark.parametrize(
    "said",
    [
        OURS,
        OURS.upper(),
        f" {{{OURS}}}\n",
        f"urn:uuid:{OURS}",
        "44454c4c-3100-1035-8052-b4c04f4a3733",
        "33374a4f-c0b4-5280-1035-310044454c4c",
    ],
    ids=["as it is", "upper case", "braces", "urn", "first three fields turned", "all turned"],
)
def test_one_machine_is_known_however_its_uuid_is_spelled(said: str):
    assert is_same(OURS, said)


@given(UUIDS, st.integers(min_value=0, max_value=3))
def test_order_of_bytes_on_either_side_makes_no_difference(uuid: UUID, how: int):
    turned = [UUID(bytes=uuid.bytes_le), UUID(bytes=uuid.bytes[::-1]), UUID(bytes=uuid.bytes_le[::-1]), uuid][how]
    for one, other in ((uuid, turned), (turned, uuid)):
        assert system_uuid(str(other)) is None or is_same(str(one), str(other).upper())


@given(UUIDS, UUIDS)
def test_another_machine_is_another(one: UUID, other: UUID):
    assert is_same(str(one), str(other)) is (system_uuid(str(other)) in spellings(str(one)))
    assert not is_same(OURS, "4c4c4544-0031-3510-8052-b4c04f4a3734")


@pytest.mark.parametrize(
    "said",
    [
        None,
        1,
        "",
        "cmp-1",
        "Not Settable",
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
        "00020003-0004-0005-0006-000700080009",
    ],
)
def test_what_names_no_machine_is_none(said: object):
    assert system_uuid(said) is None


def test_uuid_that_begins_with_zeros_names_a_machine():
    assert system_uuid("00000000-0000-0000-0000-AC1F6B000001") == "00000000-0000-0000-0000-ac1f6b000001"
