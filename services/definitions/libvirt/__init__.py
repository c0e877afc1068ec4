"""Domain XML: what it holds of its host, and where its guest can be brought up. Pure: no libvirt is asked."""
