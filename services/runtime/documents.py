"""YAML documents in, a sound model out, or one line that names file, line and field."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from evacuation.errors import EvacuateError
from evacuation.fleet_rules import Problem

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[M]):
    """What a document is to be, and how its errors are worded. Nothing of a `secret` one is ever quoted, and it is
    not read at all while everybody may read it."""

    model: type[M]
    problems: Callable[[ValidationError], tuple[Problem, ...]]
    error: type[EvacuateError]
    noun: str
    shape: str
    if_empty: str
    also: Callable[[M], Iterable[Problem]] = lambda _: ()
    """What is wrong with a sound one that is new."""
    secret: bool = False

    @property
    def remedy(self) -> str:
        return f"correct the {self.noun} file" + ("" if self.secret else " and load it again")


def read_document(path: Path, kind: Kind[M]) -> M:
    """Raises the kind's error: the first problem by line, and how many more there are."""
    text = _read(path, kind)
    root = _parse(path, text, kind)
    try:
        found = kind.model.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        _refuse(path, root, kind.problems(error), kind)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise kind.error(f"{path.name}: not valid YAML{_said(error, kind)}", remedy=kind.remedy) from None
    if problems := tuple(kind.also(found)):
        _refuse(path, root, problems, kind)
    return found


def read_private(path: Path, error: type[EvacuateError]) -> str:
    """The text of a file that others must not read. Raises `error`."""
    with path.open(encoding="utf-8") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & 0o007:
            raise error(f"{path}: everybody may read it (mode {mode & 0o777:04o})", remedy=f"chmod 600 {path}")
        return file.read()


def _read(path: Path, kind: Kind[M]) -> str:
    try:
        return read_private(path, kind.error) if kind.secret else path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise kind.error(f"{path}: there is no such file", remedy=f"name an existing {kind.noun} file") from None
    except UnicodeDecodeError:
        raise kind.error(f"{path.name}: not a text file in UTF-8", remedy=kind.remedy) from None
    except OSError as error:
        raise kind.error(
            f"{path}: cannot be read: {error.strerror}", remedy=f"name a readable {kind.noun} file"
        ) from None


def _parse(path: Path, text: str, kind: Kind[M]) -> yaml.MappingNode:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        said = _said(error.problem, kind)
        raise kind.error(f"{path.name}{line}: not valid YAML{said}", remedy=kind.remedy) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise kind.error(f"{path.name}: not valid YAML{_said(error, kind)}", remedy=kind.remedy) from None
    if root is None:
        raise kind.error(f"{path.name}:1: the file is empty", remedy=kind.if_empty)
    if not isinstance(root, yaml.MappingNode):
        raise kind.error(f"{path.name}:{_line(root)}: {kind.shape}", remedy=kind.remedy)
    duplicates = tuple(_duplicate_keys(root, (), set()))
    if duplicates:
        _refuse(path, root, duplicates, kind)
    return root


def _said(error: object, kind: Kind[M]) -> str:
    """A parser quotes what it stumbled over, which may be half a password."""
    return "; quote what has special characters" if kind.secret else f": {_one_line(error)}"


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


def _refuse(path: Path, root: yaml.MappingNode, problems: tuple[Problem, ...], kind: Kind[M]) -> NoReturn:
    ordered = sorted(problems, key=lambda problem: _line_of(root, problem.path))
    first, more = ordered[0], len(ordered) - 1
    where = f"{path.name}:{_line_of(root, first.path)}: {first.location}"
    also = f" (and {more} more)" if more else ""
    raise kind.error(f"{where}: {_one_line(first.message)}{also}", remedy=kind.remedy)


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
