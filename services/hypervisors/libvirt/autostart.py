"""No guest of ours is started by libvirtd by itself: whoever set its autostart, each report puts it off."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from evacuation.capabilities import PutOff
from evacuation.epochs import UNMARKED
from evacuation.errors import HypervisorUnavailableError
from evacuation.model import Frozen
from evacuation.texts import shorten
from services.definitions.libvirt.metadata import epoch_in
from services.hypervisors.libvirt.api import LibvirtError
from services.hypervisors.libvirt.connection import LibvirtConnection
from services.hypervisors.libvirt.survey import Survey, SurveyedDomain
from services.runtime.durable_files import read, write

KEPT, MOST, LONGEST = timedelta(days=7), 200, 200
"""How long what was found is told of, of how many guests, and bytes of why one cannot be put off."""


class _Found(Frozen):
    guests: tuple[PutOff, ...] = ()


def utc_now() -> datetime:
    return datetime.now(UTC)


class Autostarts:
    """What was found is kept in a file of the host's: it is told of also after the worker's end."""

    def __init__(self, connection: LibvirtConnection, directory: Path, now: Callable[[], datetime] = utc_now) -> None:
        self._connection = connection
        self._path = directory / "autostarts.json"
        self._now = now
        self._found: dict[str, PutOff] = {}
        with suppress(HypervisorUnavailableError):
            kept = read(self._path, _Found)
            self._found = {each.id: each for each in kept.guests} if kept else {}

    def put_off(self, survey: Survey) -> tuple[Survey, tuple[PutOff, ...]]:
        """The survey as it is afterwards, and whose autostart was on lately. Guests without our mark are left alone.
        Raises HypervisorUnavailableError."""
        on = [each for each in survey.domains if each.autostart and _is_followed(each)]
        for domain in on:
            self._note(PutOff(id=domain.id, name=domain.name, at=self._now()))
        refused = {domain.id: why for domain in on if (why := self._put_off(domain)) is not None}
        for domain in on:
            if domain.id in refused:
                self._found[domain.id] = self._found[domain.id].model_copy(update={"why_not": refused[domain.id]})
        off = {domain.id for domain in on} - refused.keys()
        domains = tuple(
            each.model_copy(update={"autostart": False}) if each.id in off else each for each in survey.domains
        )
        return survey.model_copy(update={"domains": domains}), self._told()

    def _note(self, found: PutOff) -> None:
        """Before it is put off: afterwards nothing would say that it ever was on. Where it cannot be kept, it is put
        off all the same."""
        self._found[found.id] = found
        with suppress(HypervisorUnavailableError):
            write(self._path, _Found(guests=self._told()))

    def _put_off(self, domain: SurveyedDomain) -> str | None:
        try:
            self._connection.run("set_autostart", domain.id, False)
        except LibvirtError as error:
            return shorten(str(error), LONGEST)
        return None

    def _told(self) -> tuple[PutOff, ...]:
        """The newest."""
        since = self._now() - KEPT
        late = sorted((each for each in self._found.values() if each.at > since), key=lambda each: each.at)
        self._found = {each.id: each for each in late[-MOST:]}
        return tuple(sorted(self._found.values(), key=lambda each: each.id))


def _is_followed(domain: SurveyedDomain) -> bool:
    """It carries our mark, as it runs, or else as it is defined."""
    return domain.mark is not None and epoch_in(domain.mark) != UNMARKED
