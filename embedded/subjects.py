"""Which host and which instance an activity's message is about, found by the names of its fields."""

from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from evacuation.messages import ClaimCapacity, Destination

NAMES: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])
"""Instance id to name."""
PARTS = ("ref", "call", "guest", "instance", "connector", "evidence", "report", "to")
"""Fields that hold the value with the id or the host in it."""
MOST_ATTEMPTS = 1_000
"""The oldest is forgotten: more are hardly in flight at once, and a worker lives for long."""


def write_names(path: Path, names: dict[str, str]) -> None:
    path.write_bytes(NAMES.dump_json(names))


class Subjects:
    """Knows the names of the fleet's instances, and which destination an attempt went to."""

    def __init__(self, names: Path, *, host: str | None = None) -> None:
        """`host` is the host whose worker this is; None on a control worker."""
        self._path = names
        self._host = host
        self._names: dict[str, str] = {}
        self._destinations: dict[tuple[str, int], str] = {}

    def learn(self, message: object, result: object) -> None:
        """A claim tells where its attempt goes; later messages of the attempt name only the attempt."""
        if isinstance(message, ClaimCapacity) and isinstance(result, Destination):
            self._destinations[message.ref.evacuation_id, message.ref.attempt] = result.host
            if len(self._destinations) > MOST_ATTEMPTS:
                del self._destinations[next(iter(self._destinations))]

    def of(self, message: object) -> tuple[frozenset[str], frozenset[str]]:
        """Hosts and instances (names and ids). On a host's worker, the host is that host."""
        hosts = frozenset({self._host}) if self._host else frozenset(self._hosts(message))
        ids = frozenset(_fields(message, "instance_id", "id"))
        return hosts, ids | {self._name(each) for each in ids}

    def _hosts(self, message: object) -> set[str]:
        found = set(_fields(message, "host", "target", "source"))
        for key, host in self._destinations.items():
            if key in _attempts(message):
                found.add(host)
        return found

    def _name(self, instance_id: str) -> str:
        if instance_id not in self._names and self._path.exists():
            self._names = NAMES.validate_json(self._path.read_bytes())
        return self._names.get(instance_id, instance_id)


def _values(message: object) -> list[object]:
    return [message, *(part for name in PARTS if (part := getattr(message, name, None)) is not None)]


def _fields(message: object, *names: str) -> list[str]:
    found = [getattr(value, name, None) for value in _values(message) if isinstance(value, BaseModel) for name in names]
    return [each for each in found if isinstance(each, str)]


def _attempts(message: object) -> set[tuple[str, int]]:
    ref: object = getattr(message, "ref", None)
    evacuation_id, attempt = getattr(ref, "evacuation_id", None), getattr(ref, "attempt", None)
    return {(evacuation_id, attempt)} if isinstance(evacuation_id, str) and isinstance(attempt, int) else set()
