"""Compute hosts whose guests are processes of one machine, on a shared directory of disks."""

from services.hypervisors.process.driver import ProcessHypervisor
from services.hypervisors.process.layout import ProcessRoot
from services.hypervisors.process.power import ProcessHost

__all__ = ["ProcessHost", "ProcessHypervisor", "ProcessRoot"]
