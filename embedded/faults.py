"""Faults on demand: a worker interceptor that fails, refuses, delays, hangs, freezes or kills around named activities.

The file is read again whenever it changes. How often a rule has struck is counted in files that are created
exclusively and flushed before the strike, so that the count holds across processes and survives their SIGKILL; each
names the process that it struck.
"""

import asyncio
import hashlib
import os
import re
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from embedded.subjects import Subjects
from evacuation.errors import FaultFileError

DELAY = re.compile(r"delay (\d+(?:\.\d+)?)(ms|s|m)")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
WORDS = ("fail", "refuse", "kill", "freeze", "hang", "stall", "hold", "slow", "lose")
POLL = 0.02
LATE = 0.5
"""Seconds past its deadline at which a lost reply arrives."""
T = TypeVar("T")


class FaultRule(BaseModel):
    """One line of the faults file. Absent means any, and always."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    activity: str
    do: str
    at: Literal["before", "after"] = "before"
    host: str | None = None
    instance: str | None = None
    times: int | None = Field(default=None, ge=1)

    @field_validator("do")
    @classmethod
    def _known(cls, text: str) -> str:
        if text not in WORDS and DELAY.fullmatch(text) is None:
            raise ValueError(f"use {', '.join(WORDS)}, or delay with a duration such as `delay 5s`")
        return text

    @property
    def delay(self) -> float | None:
        """Seconds."""
        found = DELAY.fullmatch(self.do)
        return float(found[1]) * UNITS[found[2]] if found else None

    def matches(self, name: str, hosts: frozenset[str], instances: frozenset[str]) -> bool:
        return (
            self.activity == name
            and (self.host is None or self.host in hosts)
            and (self.instance is None or self.instance in instances)
        )


_RULES: TypeAdapter[tuple[FaultRule, ...]] = TypeAdapter(tuple[FaultRule, ...])


def read_faults(path: Path) -> tuple[FaultRule, ...]:
    """Raises FaultFileError: one line that names file, rule and field."""
    try:
        return _RULES.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")) or ())
    except (OSError, UnicodeDecodeError) as error:
        raise FaultFileError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except yaml.YAMLError as error:
        raise FaultFileError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise FaultFileError(f"{path}: rule {where}: {first['msg']}") from error


class Strikes:
    """How often each rule has struck, in all processes together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def claim(self, key: str, times: int | None) -> bool:
        """True once for each of `times`; durable before the return."""
        if times is None:
            return True
        self._folder.mkdir(parents=True, exist_ok=True)
        return any(self._create(self._folder / f"{key}.{number}") for number in range(times))

    def _create(self, path: Path) -> bool:
        try:
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return False
        os.write(fd, f"{os.getpid()}\n".encode())
        os.fsync(fd)
        os.close(fd)
        folder = os.open(self._folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        return True


def keys_of(rules: tuple[FaultRule, ...]) -> list[str]:
    """A rule is itself by its content, and by how many equal ones stand before it: other edits do not change it."""
    seen: Counter[str] = Counter()
    keys: list[str] = []
    for rule in rules:
        digest = hashlib.sha256(rule.model_dump_json().encode()).hexdigest()[:16]
        keys.append(f"{digest}-{seen[digest]}")
        seen[digest] += 1
    return keys


class FaultFile:
    """The rules as the file has them now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._rules: tuple[FaultRule, ...] = ()

    def rules(self) -> tuple[FaultRule, ...]:
        """A file that is being edited and not valid now: the rules that it had before."""
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp != self._stamp:
                self._rules, self._stamp = read_faults(self._path), stamp
        except (OSError, FaultFileError) as error:
            activity.logger.warning("faults file not usable: %s", error)
        return self._rules


class FaultInterceptor(Interceptor):
    """`host` is the host whose worker this is; None on a control worker."""

    def __init__(self, path: Path, *, strikes: Path, subjects: Subjects) -> None:
        self.file = FaultFile(path)
        self.strikes = Strikes(strikes)
        self.subjects = subjects

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next, self)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, faults: FaultInterceptor) -> None:
        super().__init__(next)
        self._faults = faults

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        message: object = input.args[0] if input.args else None
        await self._strike("before", message)
        result: object = await super().execute_activity(input)
        self._faults.subjects.learn(message, result)
        await self._strike("after", message)
        return result

    async def _strike(self, at: str, message: object) -> None:
        name = activity.info().activity_type
        rules = self._faults.file.rules()
        hosts, instances = self._faults.subjects.of(message)
        for rule, key in zip(rules, keys_of(rules), strict=True):
            if rule.at == at and rule.matches(name, hosts, instances) and self._faults.strikes.claim(key, rule.times):
                await self._do(rule)

    async def _do(self, rule: FaultRule) -> None:
        if rule.do == "hold":
            await _deaf_while(lambda: rule in self._faults.file.rules(), beat=_beat_of(rule.at))
        elif rule.do == "slow":
            await _slow(_beat_of(rule.at))
        elif rule.do == "stall":
            await _deaf_while(lambda: rule in self._faults.file.rules())
        else:
            await _do(rule)


async def _do(rule: FaultRule) -> None:
    if rule.do == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if rule.do == "freeze":
        os.kill(os.getpid(), signal.SIGSTOP)
    if rule.do == "hang":
        await _hang()
    if rule.do == "lose":
        await asyncio.sleep(_seconds_left() + LATE)
    if rule.delay is not None:
        await asyncio.sleep(rule.delay)
    if rule.do in ("fail", "refuse"):
        raise ApplicationError(
            f"injected fault: {rule.activity} was told to {rule.do}",
            type="InjectedFaultError",
            non_retryable=rule.do == "refuse",
        )


async def _hang() -> None:
    """No answer, no heartbeat, deaf to a cancel; only the worker's own end ends it."""
    await _deaf_while(lambda: not activity.is_worker_shutdown())
    raise ApplicationError("injected fault: hung until the worker stopped", type="InjectedFaultError")


async def _deaf_while(condition: Callable[[], bool], *, beat: Callable[[], Awaitable[None]] | None = None) -> None:
    while condition():
        try:
            if beat:
                await beat()
            await asyncio.sleep(POLL)
        except asyncio.CancelledError:
            continue


async def _slow(beat: Callable[[], Awaitable[None]]) -> None:
    """Alive, and twice as long as this execution may take."""
    info = activity.info()
    limit = info.start_to_close_timeout or timedelta()
    ends = asyncio.get_running_loop().time() + 2 * limit.total_seconds()
    await _deaf_while(lambda: asyncio.get_running_loop().time() < ends, beat=beat)


def _beat_of(at: str) -> Callable[[], Awaitable[None]]:
    """A held activity is alive. Once a synchronous one has run, its heartbeat waits for this very loop."""

    async def before() -> None:
        activity.heartbeat("held")

    async def after() -> None:
        await asyncio.to_thread(activity.heartbeat, "held")

    return before if at == "before" else after


def _seconds_left() -> float:
    """Until nobody waits for this execution any more."""
    info = activity.info()
    limits = [limit for limit in (info.start_to_close_timeout, info.heartbeat_timeout) if limit]
    return max(0.0, (info.started_time + min(limits, default=timedelta()) - datetime.now(UTC)).total_seconds())
