"""A fleet gets into a store, and its hosts and names into the state directory beside it."""

from embedded.hosts import boot_hosts
from embedded.state import StateDir
from embedded.subjects import write_names
from evacuation.fleet import Fleet
from services.settings import Settings
from services.sql import SqlServices


def load(settings: Settings, services: SqlServices, fleet: Fleet) -> None:
    """Raises FleetError when another fleet is there."""
    services.fleet.load(fleet)
    settle(settings, services)


def settle(settings: Settings, services: SqlServices) -> None:
    """The hosts of the store have power, unless they are machines; its instances' names are known to the faults."""
    write_names(StateDir(settings.state_dir).names, {each.id: each.name for each in services.views.instances()})
    if settings.hypervisor != "libvirt":
        boot_hosts(settings.state_dir, [host.name for host in services.views.hosts()])
