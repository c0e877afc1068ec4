"""Whether it was the right machine that a cut has switched off: the hosts' own workers show it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from temporalio import activity

from evacuation.messages import FenceRequest, ProbeRequest
from evacuation.ports import OnlookerStore

Boots = Mapping[str, str | None]
TRIES = 2
"""Patient questions to one who answered before, until it counts as silent."""


class AskAround(Protocol):
    """Asks the hosts' own workers, all at once. By host the boot that answers, None: it does not say which. Who does
    not answer in time is not in it. None: nobody could be asked. `patiently`: as long as any worker may take that
    lives. Whoever asks by one `key` at one time may get one answer."""

    def __call__(
        self, key: str, hosts: Sequence[ProbeRequest], *, patiently: bool, beat: Callable[[], None]
    ) -> Boots | None: ...


class Onlookers:
    def __init__(self, store: OnlookerStore, ask: AskAround) -> None:
        self._store = store
        self._ask = ask

    def look(self, request: FenceRequest, by: str) -> None:
        """Who answers before the order is given; it is noted with the cut, for whoever goes on with it."""
        host = request.host
        answering = self._ask(f"{host}/before", self._store.around(host), patiently=False, beat=_beat)
        self._store.note_seen(host, by, [*(answering or ())])

    def judge(self, request: FenceRequest) -> None:
        """After it was read off. Raises WrongMachineError, now and for everybody until a person has it cut again: the
        host itself answers in the boot that is said to be off, or another one has fallen silent with it. Where nobody
        could be asked, the power alone says what it says."""
        self._store.require_no_alarm(request)
        why = self._why(request)
        if why is not None:
            activity.logger.error("a wrong machine was switched off, as it seems: %s", why)
            self._store.raise_alarm(request, why)
            self._store.require_no_alarm(request)

    def forget(self, request: FenceRequest) -> None:
        """A person has seen the alarm, and asks for the cut all the same."""
        self._store.forget_alarm(request)

    def _why(self, request: FenceRequest) -> str | None:
        host = request.host
        concerned = self._store.concerned(host)
        answering = self._ask(f"{host}/after", concerned, patiently=False, beat=_beat)
        if answering is None:
            return None
        if host in answering and answering[host] in (None, request.incarnation):
            return f"{host} answers still, after its power was read off: its entry is another machine's"
        silent = self._silent(host, [each for each in concerned if each.host not in (host, *answering)])
        if not silent:
            return None
        names = ", ".join(sorted(each.host for each in silent))
        return (
            f"{names} answered before the power of {host} was cut, and fell silent with it: are the entries of {host}"
            f" and {names} exchanged? Nothing proves {host} off"
        )

    def _silent(self, host: str, asked: list[ProbeRequest]) -> list[ProbeRequest]:
        for _ in range(TRIES):
            if not asked:
                break
            answering = self._ask(f"{host}/again", asked, patiently=True, beat=_beat)
            asked = [each for each in asked if answering is not None and each.host not in answering]
        return asked


def _beat() -> None:
    activity.heartbeat("asking the hosts")
