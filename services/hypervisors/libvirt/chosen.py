"""What is chosen with `EVACUATE_HYPERVISOR=libvirt`."""

from pathlib import Path

from evacuation.errors import HypervisorUnableError
from evacuation.ports import Hypervisor, Looking, Reporter
from services.hypervisors.chosen import HypervisorDriver
from services.hypervisors.libvirt.options import host_state_dir, options_of
from services.runtime.settings import Settings


class LibvirtDriver(HypervisorDriver):
    """Real machines, with a libvirt each."""

    has_machines = True

    def open(self, settings: Settings, host: str) -> Hypervisor:
        from services.hypervisors.libvirt.driver import LibvirtHypervisor

        return LibvirtHypervisor(options_of(settings, host))

    def own_dir(self, settings: Settings, host: str) -> Path:
        path = host_state_dir(settings, host)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HypervisorUnableError(
                f"{path} cannot be made: {error.strerror}",
                remedy="set EVACUATE_HOST_STATE_DIR to a directory of the worker's",
            ) from error
        return path

    def reporter(self, settings: Settings, host: str) -> Reporter:
        from services.hypervisors.libvirt.report import LibvirtReporter

        return LibvirtReporter(options_of(settings, host))

    def looking(self, settings: Settings, host: str) -> Looking | None:
        from services.hypervisors.libvirt.look import look_of

        return look_of(options_of(settings, host))
