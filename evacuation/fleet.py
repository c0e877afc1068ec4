"""The fleet file: what a fleet is made of, before anything of it is in the store.

A `Fleet` that exists is sound: no unknown key, no dangling reference, nobody holds more than it has. Every error of
its validation has a location (`instances[3].ports[0].network`). Units are those of `evacuation.model`.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, Strict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from evacuation.fleet_rules import Problem, find_problems
from evacuation.model import Flavor, Frozen, GroupPolicy, RootDisk, TaskState, VmState
from evacuation.names import is_name

BIGGEST = 2**31 - 1


def _well_formed(name: str) -> str:
    if not is_name(name):
        raise PydanticCustomError("name", "a name has letters, digits, dot, dash, underscore, and at most 63 of them")
    return name


def _a_network(cidr: str) -> str:
    try:
        ipaddress.ip_network(cidr)
    except ValueError as error:
        raise PydanticCustomError("cidr", "not a network: {why}", {"why": str(error)}) from None
    return cidr


def _not_deleted(state: VmState) -> VmState:
    if state is VmState.DELETED:
        raise PydanticCustomError("vm_state", "a deleted instance is not part of a fleet")
    return state


Name = Annotated[str, Strict(), AfterValidator(_well_formed)]
Switch = Annotated[bool, Strict()]
Count = Annotated[int, Strict(), Field(ge=1, le=BIGGEST)]
Size = Annotated[int, Strict(), Field(ge=0, le=BIGGEST)]
Ratio = Annotated[float, Strict(), Field(gt=0, le=1000, allow_inf_nan=False)]


class FleetPart(Frozen):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FleetHost(FleetPart):
    name: Name
    vcpus: Count
    memory_mb: Count
    disk_gb: Size
    availability_zone: Name = "nova"
    traits: tuple[Name, ...] = ()
    cpu_allocation_ratio: Ratio = 1.0
    ram_allocation_ratio: Ratio = 1.0
    disk_allocation_ratio: Ratio = 1.0
    max_evacuations: Count = 10


class FleetNetwork(FleetPart):
    name: Name
    cidr: Annotated[str, Strict(), AfterValidator(_a_network)]


class FleetVolume(FleetPart):
    name: Name
    size_gb: Count


class FleetServerGroup(FleetPart):
    name: Name
    policy: GroupPolicy


class FleetFlavor(Flavor):
    model_config = ConfigDict(frozen=True, extra="forbid")

    vcpus: Count
    memory_mb: Count
    disk_gb: Size


class FleetPort(FleetPart):
    network: Name


class FleetInstance(FleetPart):
    """`availability_zone` and `traits` are what its destination must have."""

    name: Name
    host: Name
    flavor: FleetFlavor
    vm_state: Annotated[VmState, AfterValidator(_not_deleted)] = VmState.ACTIVE
    task_state: TaskState | None = None
    root_disk: RootDisk = RootDisk.SHARED
    ports: tuple[FleetPort, ...] = ()
    volumes: tuple[Name, ...] = ()
    server_group: Name | None = None
    project: Name = "default"
    priority: Annotated[int, Strict(), Field(ge=1, le=5)] = 3
    evacuate: Switch = True
    availability_zone: Name | None = None
    traits: tuple[Name, ...] = ()

    @property
    def on_host(self) -> FleetFlavor:
        """What it takes of its host."""
        return self.flavor.on_host(self.root_disk)


class Fleet(FleetPart):
    """`disk_lock` False: a guest of the process hypervisor takes no lock on its disk, so that a split brain shows."""

    hosts: tuple[FleetHost, ...] = Field(min_length=1)
    networks: tuple[FleetNetwork, ...] = ()
    volumes: tuple[FleetVolume, ...] = ()
    server_groups: tuple[FleetServerGroup, ...] = ()
    instances: tuple[FleetInstance, ...] = ()
    disk_lock: Switch = True

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        problems = tuple(find_problems(self))
        if problems:
            raise ValidationError.from_exception_data("Fleet", [_as_error(problem) for problem in problems])
        return self


def problems_of(error: ValidationError) -> tuple[Problem, ...]:
    """What is wrong, in the words of a fleet file, with the location of each problem."""
    return tuple(_as_problem(each["loc"], each["type"], each["msg"]) for each in error.errors(include_url=False))


_PLAIN = {
    "missing": "the key is missing",
    "model_type": "should be a mapping",
    "string_type": "should be text",
    "too_short": "should have at least one entry",
    "tuple_type": "should be a list",
}
"""Kinds of errors that pydantic words for programmers."""

_KEYS: dict[tuple[str, ...], type[Frozen]] = {
    (): Fleet,
    ("hosts",): FleetHost,
    ("networks",): FleetNetwork,
    ("volumes",): FleetVolume,
    ("server_groups",): FleetServerGroup,
    ("instances",): FleetInstance,
    ("instances", "flavor"): FleetFlavor,
    ("instances", "ports"): FleetPort,
}


def _as_error(problem: Problem) -> InitErrorDetails:
    kind = PydanticCustomError("fleet", "{why}", {"why": problem.message})
    return InitErrorDetails(type=kind, loc=problem.path, input=None)


def _as_problem(path: tuple[int | str, ...], kind: str, message: str) -> Problem:
    if kind in _PLAIN:
        return Problem(path=path, message=_PLAIN[kind])
    if kind == "extra_forbidden":
        return Problem(path=path, message=f"unknown key; known: {', '.join(_keys_at(path))}")
    return Problem(path=path, message=message[:1].lower() + message[1:])


def _keys_at(path: Sequence[int | str]) -> Iterator[str]:
    container = tuple(step for step in path[:-1] if isinstance(step, str))
    yield from _KEYS[container].model_fields
