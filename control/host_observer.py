"""What runs on the hosts, as their own workers say: for every fleet whose hosts are not on this machine."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from evacuation.capabilities import SeenDomain, SharedDirectory
from evacuation.errors import EvacuateError
from evacuation.invariants import Rows, SeenGuest, SeenWrite
from evacuation.ledger import Witness
from evacuation.messages import GuestState, HostAnswer, HostReport, ProbeRequest
from evacuation.model import Frozen, PowerState
from evacuation.names import as_id
from evacuation.observing import Sight
from services.runtime.settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client

AT_ONCE = 16
"""Hosts."""
LONGEST = 30.0
"""Seconds for all of them together, times the time scale: whom there was no time to ask was not seen."""
PATIENCE = 15.0
"""Seconds for each page of them, times the time scale."""
WRITING = frozenset({"running", "in shutdown"})
"""States in which a domain writes: not one that starts, or that arrives by a migration."""
ONE_ANYWHERE = ("/dev/disk/by-id/wwn-", "/dev/disk/by-id/scsi-3", "/dev/disk/by-id/dm-uuid-mpath-", "rbd:", "iscsi:")
"""Names by which every host means the same disk."""


class Answers(Frozen):
    """`why_no_more`: why the others were not asked. None: there was no time left, if there are any."""

    answers: tuple[HostAnswer, ...]
    why_no_more: str | None = None


class HostObserver:
    """The port `Observer`. A host that was silent once is not asked again in the looks that follow."""

    def __init__(self, settings: Settings, hosts: Sequence[ProbeRequest]) -> None:
        self._settings = settings
        self._hosts = tuple(hosts)
        self._silent: tuple[HostAnswer, ...] = ()
        self._why_no_more: str | None = None

    def look(self, read: Callable[[], Rows]) -> tuple[Rows, Sight]:
        found = asyncio.run(self._ask()) if self._hosts else Answers(answers=())
        heard = {each.host for each in found.answers if not each.silent}
        self._hosts = tuple(each for each in self._hosts if each.host in heard)
        self._silent += tuple(each for each in found.answers if each.silent)
        self._why_no_more = found.why_no_more or self._why_no_more
        told = tuple(each for each in found.answers if not each.silent)
        rows = read()
        return rows, sight_of(rows, Answers(answers=(*told, *self._silent), why_no_more=self._why_no_more))

    async def _ask(self) -> Answers:
        from control.access import connect

        try:
            client = await connect(self._settings)
        except EvacuateError as error:
            return Answers(answers=(), why_no_more=error.message)
        return await ask_all(client, self._settings, self._hosts)


async def ask_all(client: "Client", settings: Settings, hosts: Sequence[ProbeRequest]) -> Answers:
    """Of all, so far as the time goes: some at once, a page of them in each workflow."""
    from control.asking import PAGE_WITH_GUESTS, pages_of

    gate = asyncio.Semaphore(max(1, AT_ONCE // PAGE_WITH_GUESTS))
    asking = _Asking(client, settings)
    pages = pages_of([each.model_copy(update={"live": True, "ledger": None}) for each in hosts], guests=True)

    async def one(number: int, page: Sequence[ProbeRequest]) -> None:
        async with gate:
            await asking.ask(number, page)

    try:
        async with asyncio.timeout(LONGEST * max(settings.time_scale, 0.5)):
            await asyncio.gather(*(one(number, page) for number, page in enumerate(pages)))
    except TimeoutError:
        pass
    return Answers(answers=tuple(asking.answers), why_no_more=asking.why_no_more)


class _Asking:
    def __init__(self, client: "Client", settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self.answers: list[HostAnswer] = []
        self.why_no_more: str | None = None

    async def ask(self, number: int, page: Sequence[ProbeRequest]) -> None:
        """Nobody more is asked once it is known that nobody can be."""
        from temporalio.client import WorkflowFailureError
        from temporalio.exceptions import TimeoutError as TimedOut
        from temporalio.service import RPCError

        from control.asking import ask_page

        if self.why_no_more is not None:
            return
        try:
            found = await ask_page(self._client, self._settings, number, page, guests=True, longest=PATIENCE)
            self.answers += found
        except WorkflowFailureError as error:
            if isinstance(error.cause, TimedOut):
                self.why_no_more = "no control worker answers in time, so that hosts cannot be asked"
            else:
                why = f"it could not be asked: {error.cause}"
                self.answers += [HostAnswer(host=each.host, why_not=why) for each in page]
        except RPCError as error:
            self.why_no_more = f"Temporal does not answer: {error.message}"


def sight_of(rows: Rows, found: Answers) -> Sight:
    """Of the hosts that are in the store."""
    hosts = {row.name for row in rows.hosts}
    instances = frozenset(row.id for row in rows.instances)
    reports = {each.host: each.report for each in found.answers if each.report is not None and each.host in hosts}
    seen = [guest for report in reports.values() for guest in _guests(report)]
    marks = ((each.host, each.ledger) for each in found.answers if each.host in reports)
    return Sight(
        guests=tuple(each for each in seen if _is_ours(each, instances)),
        strangers=tuple(each for each in seen if not _is_ours(each, instances)),
        boots={host: report.incarnation for host, report in reports.items()},
        identities={host: report.hypervisor_uuid for host, report in reports.items()},
        witnesses=tuple(Witness(who=host, mark=mark) for host, mark in marks if mark is not None),
        missing=tuple(_missing(rows, found, seen)),
    )


def _is_ours(guest: SeenGuest, instances: frozenset[str]) -> bool:
    """By its id, or by a mark: whoever has one was started by this program."""
    return guest.epoch > 0 or guest.instance_id in instances


def _guests(report: HostReport) -> Iterator[SeenGuest]:
    of_host = {"host": report.host, "incarnation": report.incarnation}
    if report.domains is None:
        running = (each for each in report.guests if each.power_state is PowerState.RUNNING)
        yield from (SeenGuest.model_validate(of_host | _of_state(each)) for each in running)
    else:
        active = (each for each in report.domains if each.active)
        yield from (SeenGuest.model_validate(of_host | _of_domain(each, report)) for each in active)


def _of_state(guest: GuestState) -> dict[str, object]:
    return {"instance_id": guest.instance_id, "epoch": guest.epoch, "writes": not guest.paused}


def _of_domain(domain: SeenDomain, report: HostReport) -> dict[str, object]:
    return {
        "instance_id": domain.id,
        "epoch": domain.epoch or 0,
        "name": domain.name,
        "state": domain.state,
        "writes": domain.state in WRITING,
        "disks": None if domain.disks is None else tuple(_writes(domain, report)),
    }


def _writes(domain: SeenDomain, report: HostReport) -> Iterator[SeenWrite]:
    for path in domain.disks or ():
        if (disk := _disk(path, report.host, report.shared)) is not None:
            yield SeenWrite(disk=disk, path=path, shareable=path in domain.shareable)


def _disk(path: str, host: str, shared: Iterable[SharedDirectory]) -> str | None:
    """The same for all who mean the same disk. None: its name does not tell which one it is."""
    if path.startswith(ONE_ANYWHERE):
        return path
    if not path.startswith("/"):
        protocol, network, name = path.partition(":")
        return path if protocol == "nbd" and as_id(name) else None if network else f"{host}:{path}"
    above = [each for each in shared if PurePosixPath(path).is_relative_to(each.path)]
    nearest = max(above, key=lambda each: len(each.path), default=None)
    return f"{nearest.marker}:{PurePosixPath(path).relative_to(nearest.path)}" if nearest else f"{host}:{path}"


def _missing(rows: Rows, found: Answers, seen: Sequence[SeenGuest]) -> Iterator[str]:
    """A host that is proven off need not be seen."""
    answers = {each.host: each for each in found.answers}
    awaited = [row.name for row in rows.hosts if row.name in answers or not row.fenced]
    unasked = [name for name in awaited if name not in answers]
    proven = {row.name for row in rows.hosts if row.fenced}
    if unasked and found.why_no_more is not None:
        have = "what they have" if len(unasked) > 1 else "what it has"
        yield f"{', '.join(unasked)}, and {have} seen of the store: {found.why_no_more}"
    told = found.why_no_more is not None
    for name in awaited:
        if (why := _why_unseen(answers.get(name), proven=name in proven, told=told)) is not None:
            yield f"{name} was not seen: {why}"
    yield from _disks_unknown(seen)
    yield "what the disks say: they are not on this machine"


def _why_unseen(answer: HostAnswer | None, *, proven: bool, told: bool) -> str | None:
    if answer is None:
        return None if told else "there was no time left to ask it"
    if answer.silent:
        return None if proven else "it does not answer"
    return answer.why_not or None


def _disks_unknown(seen: Sequence[SeenGuest]) -> Iterator[str]:
    """Of hosts that tell of some: of a domain, not of a process."""
    for host in dict.fromkeys(each.host for each in seen):
        number = sum(each.disks is None and each.state is not None for each in seen if each.host == host)
        if number:
            whose = "1 guest" if number == 1 else f"{number} guests"
            yield f"the disks of {whose} on {host}: it does not say which they are"
