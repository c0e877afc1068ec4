"""Fleet files: YAML in, a sound `Fleet` out, or one line that names file, line and field."""

from pathlib import Path

import yaml

from evacuation.errors import FleetError
from evacuation.fleet import Fleet, problems_of
from evacuation.fleet_rules import names_like_ids
from services.runtime.documents import Kind, read_document

FLEET = Kind(
    model=Fleet,
    problems=problems_of,
    error=FleetError,
    noun="fleet",
    shape="a fleet is a mapping of hosts, networks, …",
    if_empty="a fleet has at least the key hosts",
    also=names_like_ids,
)


def read_fleet(path: Path) -> Fleet:
    """Raises FleetError: the first problem by line, and how many more there are."""
    return read_document(path, FLEET)


def write_fleet(fleet: Fleet) -> str:
    """The YAML text of a fleet; what has its default value is left out."""
    data = fleet.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)
