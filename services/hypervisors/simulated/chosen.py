"""What is chosen with `EVACUATE_HYPERVISOR=simulated`."""

from services.hypervisors.chosen import HypervisorDriver
from services.hypervisors.simulated.driver import SimulatedHypervisor
from services.runtime.settings import Settings


class SimulatedDriver(HypervisorDriver):
    """Guests in the memory of the host's worker, for benchmarks."""

    remembers = False

    def open(self, settings: Settings, host: str) -> SimulatedHypervisor:
        return SimulatedHypervisor(
            host, machine=settings.machine_id, spawn_delay=settings.spawn_delay, step_delay=settings.step_delay
        )
