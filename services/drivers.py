"""Which drivers there are: a row for each, imported when it is chosen. A new one is a folder, and a row here."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from evacuation.ports import FencingDriver
    from services.cloud.chosen import VolumeDriver
    from services.fencing import FenceOptions
    from services.hypervisors.chosen import HypervisorDriver

Row = TypeVar("Row")


def _process() -> "HypervisorDriver":
    from services.hypervisors.process.chosen import ProcessDriver

    return ProcessDriver()


def _simulated() -> "HypervisorDriver":
    from services.hypervisors.simulated.chosen import SimulatedDriver

    return SimulatedDriver()


def _libvirt() -> "HypervisorDriver":
    from services.hypervisors.libvirt.chosen import LibvirtDriver

    return LibvirtDriver()


def _sql_volumes() -> "VolumeDriver":
    from services.cloud.sql.chosen import SqlVolumeDriver

    return SqlVolumeDriver()


def _nbd_volumes() -> "VolumeDriver":
    from services.cloud.nbd.chosen import NbdVolumeDriver

    return NbdVolumeDriver()


def _process_power(options: "FenceOptions") -> "FencingDriver":
    from services.fencing.process import ProcessFencing

    return ProcessFencing(options.root)


def _no_power(options: "FenceOptions") -> "FencingDriver":
    from services.fencing.operator import OperatorFencing

    return OperatorFencing()


def _redfish(options: "FenceOptions") -> "FencingDriver":
    from services.fencing.bmc import open_bmcs

    return open_bmcs("redfish", options)


def _ipmi(options: "FenceOptions") -> "FencingDriver":
    from services.fencing.bmc import open_bmcs

    return open_bmcs("ipmi", options)


HYPERVISORS: "dict[str, Callable[[], HypervisorDriver]]" = {
    "process": _process,
    "simulated": _simulated,
    "libvirt": _libvirt,
}
VOLUMES: "dict[str, Callable[[], VolumeDriver]]" = {"sql": _sql_volumes, "nbd": _nbd_volumes}
FENCES: "dict[str, Callable[[FenceOptions], FencingDriver]]" = {
    "process": _process_power,
    "operator": _no_power,
    "redfish": _redfish,
    "ipmi": _ipmi,
}


def one_of(rows: Mapping[str, object]) -> AfterValidator:
    """A setting that names a row. What is no row is refused with the names of those that are."""

    def check(value: str) -> str:
        if value in rows:
            return value
        *others, last = (repr(each) for each in rows)
        raise PydanticCustomError("driver", "Input should be {names}", {"names": f"{', '.join(others)} or {last}"})

    return AfterValidator(check)
