"""The UUID by which firmware names a machine: what libvirt, Redfish and IPMI say of one machine is the same, but for
case and the order of its bytes."""

from uuid import UUID


def _fields_turned(uuid: UUID) -> UUID:
    """SMBIOS, and with it most BMCs, keep the first three fields with the least byte first."""
    return UUID(bytes=uuid.bytes_le)


def _turned(uuid: UUID) -> UUID:
    """IPMI's own specification sends all sixteen bytes with the last one first."""
    return UUID(bytes=uuid.bytes[::-1])


def spellings(uuid: str) -> frozenset[str]:
    """Every UUID, in lower case, that means the same machine: as it is, and in every order of bytes that comes of the
    two turns, so that it makes no difference which of them is taken for the right one."""
    found = {UUID(uuid)}
    for turn in (_fields_turned, _turned, _fields_turned, _turned):
        found |= {turn(each) for each in found}
    return frozenset(str(each) for each in found)


NAMELESS = frozenset({str(UUID(int=0)), str(UUID(bytes=b"\xff" * 16))}) | spellings(
    "03000200-0400-0500-0006-000700080009"
)
"""What boards say that nobody has given a UUID: zeros, ones, and the default of a widespread firmware."""


def system_uuid(said: object) -> str | None:
    """In lower case. None: it names no machine, whatever else it may be."""
    try:
        found = str(UUID(said.strip())) if isinstance(said, str) else None
    except ValueError:
        return None
    return None if found in NAMELESS else found


def is_same(one: str, other: str) -> bool:
    """Whether both UUIDs are of one machine."""
    return system_uuid(other) in spellings(one)
