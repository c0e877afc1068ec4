"""Fleet files: YAML in, a sound `Fleet` out, or one line that names file, line and field."""

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import yaml
from pydantic import ValidationError

from evacuation.errors import FleetError
from evacuation.fleet import Fleet, problems_of
from evacuation.fleet_rules import Problem

REMEDY = "correct the fleet file and load it again"


def read_fleet(path: Path) -> Fleet:
    """Raises FleetError: the first problem by line, and how many more there are."""
    text = _read(path)
    root = _parse(path, text)
    try:
        return Fleet.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        _refuse(path, root, problems_of(error))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FleetError(f"{path.name}: not valid YAML: {_one_line(error)}", remedy=REMEDY) from None


def write_fleet(fleet: Fleet) -> str:
    """The YAML text of a fleet; what has its default value is left out."""
    data = fleet.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FleetError(f"{path}: there is no such file", remedy="name an existing fleet file") from None
    except UnicodeDecodeError:
        raise FleetError(f"{path.name}: not a text file in UTF-8", remedy=REMEDY) from None
    except OSError as error:
        raise FleetError(f"{path}: cannot be read: {error.strerror}", remedy="name a readable fleet file") from None


def _parse(path: Path, text: str) -> yaml.MappingNode:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise FleetError(f"{path.name}{line}: not valid YAML: {_one_line(error.problem)}", remedy=REMEDY) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise FleetError(f"{path.name}: not valid YAML: {_one_line(error)}", remedy=REMEDY) from None
    if root is None:
        raise FleetError(f"{path.name}:1: the file is empty", remedy="a fleet has at least the key hosts")
    if not isinstance(root, yaml.MappingNode):
        raise FleetError(f"{path.name}:{_line(root)}: a fleet is a mapping of hosts, networks, …", remedy=REMEDY)
    duplicates = tuple(_duplicate_keys(root, (), set()))
    if duplicates:
        _refuse(path, root, duplicates)
    return root


def _duplicate_keys(node: yaml.Node, path: tuple[int | str, ...], seen: set[int]) -> Iterator[Problem]:
    """Each node once: an alias may lead back to one that was visited."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _duplicate_keys(item, (*path, index), seen)
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            name = str(key.value)
            if name in lines:
                yield Problem(path=(*path, name), message=f"the key is given twice, first in line {lines[name]}")
            lines.setdefault(name, _line(key))
            yield from _duplicate_keys(value, (*path, name), seen)


def _refuse(path: Path, root: yaml.MappingNode, problems: tuple[Problem, ...]) -> NoReturn:
    ordered = sorted(problems, key=lambda problem: _line_of(root, problem.path))
    first, more = ordered[0], len(ordered) - 1
    where = f"{path.name}:{_line_of(root, first.path)}: {first.location}"
    also = f" (and {more} more)" if more else ""
    raise FleetError(f"{where}: {_one_line(first.message)}{also}", remedy=REMEDY)


def _line_of(node: yaml.Node, path: tuple[int | str, ...]) -> int:
    """The line of the value at the path, or of the nearest thing around it that is in the file."""
    for step in path:
        found = _child(node, step)
        if found is None:
            break
        node = found
    return _line(node)


def _child(node: yaml.Node, step: int | str) -> yaml.Node | None:
    """The last one of a key that is given twice."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step]
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in reversed(node.value) if key.value == str(step)), None)
    return None


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
