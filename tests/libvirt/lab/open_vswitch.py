"""A host's own Open vSwitch, in place of its bridge: a real switch with its datapath in user space, so that no kernel
module is needed. All that it keeps is in the host's /run: gone with its power."""

from tests.libvirt.lab.host import LabHost

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
RUN = "/run/openvswitch"
PROGRAMS = ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-appctl")


class OpenVSwitch:
    def __init__(self, host: LabHost, bridge: str) -> None:
        """The host's uplink hangs on the bridge; so does whoever libvirt plugs in there."""
        self._host = host
        self.bridge = bridge
        host.run("mkdir", "-p", RUN)
        host.run("ovsdb-tool", "create", f"{RUN}/conf.db", SCHEMA)
        detached = ("--detach", "--no-chdir", f"--log-file={RUN}/log")
        remote = f"--remote=punix:{RUN}/db.sock"
        host.run("ovsdb-server", f"{RUN}/conf.db", remote, f"--pidfile={RUN}/ovsdb-server.pid", *detached)
        host.run("ovs-vsctl", "--no-wait", "init")
        host.run("ovs-vswitchd", f"unix:{RUN}/db.sock", f"--pidfile={RUN}/ovs-vswitchd.pid", *detached)
        host.run("ovs-vsctl", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev")
        host.run("ip", "link", "set", "uplink", "nomaster")
        host.run("ovs-vsctl", "add-port", bridge, "uplink")
        host.run("ip", "link", "set", bridge, "up")

    def ports(self) -> list[str]:
        """The names of those that libvirt plugged in."""
        return [name for name in self._host.run("ovs-vsctl", "list-ports", self.bridge).split() if name != "uplink"]

    def external_ids(self, port: str) -> dict[str, str]:
        """What whoever programs the switch finds a port by."""
        said = self._host.run("ovs-vsctl", "get", "interface", port, "external_ids").strip().strip("{}")
        pairs = (pair.split("=", 1) for pair in said.split(", ") if pair)
        return {key: value.strip('"') for key, value in pairs}

    def knows(self, mac: str) -> bool:
        """The switch has learned behind which of its ports the address is."""
        return mac in self._host.run("ovs-appctl", "fdb/show", self.bridge)
