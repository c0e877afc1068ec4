"""Which hosts cannot bring up an instance from its definition. What several hosts report alike is judged once."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from sqlalchemy import JSON, bindparam, type_coerce
from sqlmodel import Session, col, select

from evacuation.capabilities import HostCapabilities
from evacuation.errors import EvacuateError
from evacuation.sizes import require_travels
from services.definitions.libvirt.definition import Definition, parse_definition
from services.definitions.libvirt.obstacles import Destination, Obstacle, duplicates, surely_not
from services.sql.statements import execute
from services.sql.tables import HostRow, InstanceRow

OF_ITS_OWN = ("domains", "unreported", "autostarts", "held")
"""What no two hosts have in common."""
_RAW = type_coerce(col(HostRow.capabilities), JSON)
_REPORTED = select(HostRow.name, _RAW).where(col(HostRow.name).in_(bindparam("hosts", expanding=True)))


class Rule(Protocol):
    """`why_not` for a pre-flight, `surely_not` for an evacuation."""

    def __call__(
        self, definition: Definition, destination: Destination, *, source: HostCapabilities | None
    ) -> tuple[Obstacle, ...]: ...


class Reports:
    """What hosts said of themselves, read once: the domains of each, and the rest, which many have in common."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rest: dict[str, HostCapabilities | None] = {"": None}
        self._known: dict[str, tuple[str, list[dict[str, Any]]]] = {}

    def of(self, hosts: Iterable[str]) -> Mapping[str, tuple[str, list[dict[str, Any]]]]:
        """Key of the rest, and domains, of at least these."""
        missing = [name for name in hosts if name not in self._known]
        for name, raw in execute(self._session, _REPORTED, hosts=missing) if missing else ():
            self._known[name] = self._split(raw)
        return self._known

    def rest(self, key: str) -> HostCapabilities | None:
        return self._rest[key]

    def _split(self, raw: dict[str, Any] | None) -> tuple[str, list[dict[str, Any]]]:
        if raw is None:
            return "", []
        rest = {name: value for name, value in raw.items() if name not in OF_ITS_OWN}
        key = json.dumps(rest)
        if key not in self._rest:
            self._rest[key] = HostCapabilities.model_validate(rest)
        return key, raw.get("domains", [])


class Judge:
    """Of one instance. It has no objection to any host when the instance has no definition."""

    def __init__(self, reports: Reports, instance: InstanceRow, rule: Rule = surely_not) -> None:
        self._reports = reports
        self._instance = instance
        self._rule = rule
        self._judged: dict[str, tuple[str, ...]] = {}
        self._definition: Definition | EvacuateError | None = None
        if instance.definition is not None:
            try:
                require_travels(instance.definition)
                self._definition = parse_definition(instance.definition)
            except EvacuateError as error:
                self._definition = error

    def unable(self, hosts: Iterable[str]) -> dict[str, str]:
        """Those of them that cannot, each with the reasons."""
        names = list(hosts)
        if self._definition is None:
            return {}
        if isinstance(self._definition, EvacuateError):
            return dict.fromkeys(names, self._definition.line)
        others = [name for name in names if name != self._instance.host]
        self._reports.of([*others, *([self._instance.host] if self._instance.host else [])])
        found = {name: "; ".join(self._against(name, self._definition)) for name in others}
        return {name: reasons for name, reasons in found.items() if reasons}

    def _against(self, host: str, definition: Definition) -> tuple[str, ...]:
        key, domains = self._reports.of([host])[host]
        mine = [each for each in domains if definition.id == each["id"] or definition.name == each["name"]]
        if key not in self._judged:
            there = Destination(name=host, capabilities=self._reports.rest(key))
            found = self._rule(definition, there, source=self._source())
            self._judged[key] = tuple(each.cause for each in found)
        namesakes = HostCapabilities.model_validate({"domains": mine}) if mine else HostCapabilities()
        return (*self._judged[key], *(each.cause for each in duplicates(definition, namesakes)))

    def _source(self) -> HostCapabilities | None:
        home = self._instance.host
        return self._reports.rest(self._reports.of([home])[home][0]) if home else None
