"""What somebody deletes out of band, on the embedded store and among its files; and what is put back at the end."""

from pathlib import Path

from services.hypervisors.process import ProcessRoot
from tests.support.stack import Stack

_PORTS = "SELECT id FROM port WHERE instance_id = '{id}'"
_VOLUMES = "SELECT volume_id FROM block_device WHERE instance_id = '{id}'"
_ROWS = {
    "port": (f"DELETE FROM port_binding WHERE port_id IN ({_PORTS})", "DELETE FROM port WHERE instance_id = '{id}'"),
    "mapping": ("DELETE FROM block_device WHERE instance_id = '{id}'",),
    "volume": (
        f"DELETE FROM attachment WHERE volume_id IN ({_VOLUMES})",
        f"DELETE FROM volume WHERE id IN ({_VOLUMES})",
    ),
}
NAMED: dict[str, frozenset[str]] = {
    "object-gone": frozenset({"mapped-to-nothing", "attached-unmapped", "attached-elsewhere"}),
    "host-row-gone": frozenset({"room-otherwise"}),
}
"""Rules of `check` that name what is gone for good (of a mapping that is gone nobody knows the attachment), and that a
record which is put back is old."""
_KEPT = ".kept"


def delete(stack: Stack, what: str, instance: str) -> None:
    """As its own service does it: a port with its bindings, a volume with its attachments."""
    instance_id = stack.instance_id(instance)
    if what == "disk":
        disk = _root(stack).disk(instance_id)
        disk.rename(disk.with_suffix(_KEPT))
        return
    for statement in _ROWS[what]:
        stack.sql(statement.format(id=instance_id))


def delete_host(stack: Stack, host: str) -> None:
    stack.sql(f"CREATE TABLE kept_host AS SELECT * FROM host WHERE name = '{host}'")
    stack.sql(f"DELETE FROM host WHERE name = '{host}'")


def put_back(stack: Stack, *, host: bool) -> None:
    """Disks, and the record of a host."""
    for kept in _root(stack).path.glob(f"disks/*{_KEPT}"):
        kept.rename(kept.with_suffix(".disk"))
    if host:
        stack.sql("INSERT INTO host SELECT * FROM kept_host")
        stack.sql("DROP TABLE kept_host")


def _root(stack: Stack) -> ProcessRoot:
    return ProcessRoot(Path(stack.environment["EVACUATE_STATE_DIR"]))
