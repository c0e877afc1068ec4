"""The machines: which are on, and what runs there."""

import uuid

BOOTS: dict[str, str] = {}
"""Of the hosts that are on."""
GUESTS: dict[tuple[str, str], int] = {}
"""Epochs by host and instance."""
BURIED: dict[tuple[str, str], int] = {}


def switch_on(host: str) -> None:
    BOOTS[host] = str(uuid.uuid4())


def cut(host: str) -> None:
    BOOTS.pop(host, None)
    for key in [key for key in GUESTS if key[0] == host]:
        del GUESTS[key]


def clear() -> None:
    for each in (BOOTS, GUESTS, BURIED):
        each.clear()
