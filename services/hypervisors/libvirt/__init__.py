"""Compute hosts whose guests are domains of libvirt (QEMU/KVM). libvirt-python is imported only where it is used."""

from services.hypervisors.libvirt.driver import LibvirtHypervisor
from services.hypervisors.libvirt.options import LibvirtOptions, host_state_dir, options_of

__all__ = ["LibvirtHypervisor", "LibvirtOptions", "host_state_dir", "options_of"]
