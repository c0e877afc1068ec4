"""What is chosen with `EVACUATE_HYPERVISOR=process`."""

from collections.abc import Collection, Sequence

from evacuation.errors import HostNotFoundError
from evacuation.observing import Observer
from services.hypervisors.chosen import HypervisorDriver
from services.hypervisors.process import ProcessHost, ProcessHypervisor, ProcessRoot
from services.runtime.settings import Settings


class ProcessDriver(HypervisorDriver):
    """Hosts and guests are processes of this machine; each guest writes to a file of its own."""

    opens_exports = False

    def open(self, settings: Settings, host: str) -> ProcessHypervisor:
        return ProcessHypervisor(settings.state_dir, host, machine=settings.machine_id, disk_lock=settings.disk_lock)

    def observer(self, settings: Settings, hosts: Sequence[str]) -> Observer | None:
        from services.hypervisors.process.observer import ProcessObserver

        here = any(ProcessHost(settings.state_dir, host).exists() for host in hosts)
        return ProcessObserver(settings.state_dir) if here else None

    def require_on(self, settings: Settings, host: str) -> None:
        power = ProcessHost(settings.state_dir, host)
        if not power.exists():
            raise HostNotFoundError(f"host {host} is not of this fleet", remedy="see `evacuate host list`")
        power.require_on()

    def boot(self, settings: Settings, host: str) -> str:
        return ProcessHost(settings.state_dir, host).boot()

    def make_disks(self, settings: Settings, instances: Collection[str]) -> None:
        ProcessRoot(settings.state_dir).make_disks(instances)
