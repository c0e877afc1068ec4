"""What a domain of ours carries in its `<metadata>`: the names that every reader and writer of it agrees on."""

NAMESPACE = "https://evacuate.dev/xmlns/instance/1"
PREFIX = "evacuate"

MARK = "instance"
"""The element `<evacuate:instance id=UUID epoch=N/>`, exactly one in a domain that Evacuate brought up. It is the only
one of its namespace at the top of the metadata: libvirt keeps no second one."""

SIGNAL = "signal"
"""What an owner of a definition may write into the mark, `<evacuate:signal kind="agent|serial|ping|none" line=REGEX/>`:
by what a started guest is known to be up. Its mark needs no id and no epoch."""


def tag(name: str) -> str:
    """The element's name as xml.etree has it."""
    return f"{{{NAMESPACE}}}{name}"
