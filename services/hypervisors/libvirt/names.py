"""What a domain of ours carries in its `<metadata>`: the names that every reader and writer of it agrees on."""

NAMESPACE = "https://evacuate.dev/xmlns/instance/1"
PREFIX = "evacuate"

MARK = "instance"
"""The element: `<evacuate:instance id=UUID epoch=N/>`. Exactly one in a domain that Evacuate brought up."""

SIGNAL = "signal"
"""The element that an owner of a definition may write: `<evacuate:signal kind="agent|serial|ping|none" line=REGEX/>`,
by what a started guest is known to be up."""


def tag(name: str) -> str:
    """The element's name as xml.etree has it."""
    return f"{{{NAMESPACE}}}{name}"
