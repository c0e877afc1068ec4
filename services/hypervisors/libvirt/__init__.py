"""Compute hosts whose guests are domains of libvirt (QEMU/KVM). libvirt-python is imported only where it is used."""
