"""How large a guest's definition may be. It travels in one message of Temporal's, which has 2 MiB at most: over that
nothing is said any more, neither of the guest nor of whoever travels with it."""

from evacuation.errors import MalformedDefinitionError
from evacuation.texts import size

DEFINITION_LIMIT = 1_000_000
"""Bytes of its UTF-8 text. In JSON each of them takes two at most."""
MARK_ROOM = 1_000
"""Bytes that Evacuate's own mark may take on top: a guest that was adopted stays adopted."""
TRAVEL_LIMIT = 2_040_000
"""Bytes of it in JSON with which its guest's disks and ports still find room in a message."""
REMEDY = "take out of it what is large and not needed (virsh edit; metadata, as a rule)"


def require_small(definition: str | None, *, room: int = MARK_ROOM) -> None:
    """For a definition that comes in: adopted, or reported. Raises MalformedDefinitionError."""
    found, limit = len((definition or "").encode(errors="replace")), DEFINITION_LIMIT + room
    if found > limit:
        raise MalformedDefinitionError(f"the definition has {found:,} bytes, more than {limit:,}", remedy=REMEDY)


def require_travels(definition: str | None) -> None:
    """For a definition that an older release let in. Raises MalformedDefinitionError."""
    if definition is None or 2 * len(definition) <= DEFINITION_LIMIT:
        return
    found = size(definition)
    if found > TRAVEL_LIMIT:
        raise MalformedDefinitionError(
            f"the definition has {found:,} bytes in a message, more than {TRAVEL_LIMIT:,}",
            remedy=f"{REMEDY}, and adopt its host again",
        )
