"""The file of BMCs: which driver, address and account switch which host. Nothing of it goes into logs or errors."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import structlog
from pydantic import BeforeValidator, ConfigDict, Field, RootModel, SecretStr, Strict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from evacuation.errors import BmcFileError
from evacuation.fleet_rules import Problem
from evacuation.model import Frozen
from evacuation.system_uuid import system_uuid
from services.runtime.documents import Kind, read_document, read_private

BmcDriver = Literal["redfish", "ipmi"]
Text = Annotated[str, Strict(), Field(min_length=1)]


def _number_as_text(value: object) -> object:
    """`system: 1` says what it means; a password would lose its zeros."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


log = structlog.stdlib.get_logger("fencing")


class Bmc(Frozen):
    """One host's entry. Paths are relative to the file's directory."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    driver: BmcDriver | None = None
    """None: the driver that the setting EVACUATE_FENCING names."""
    address: Text = Field(repr=False)
    """A name or an address, with :PORT if it is not the usual one."""
    username: SecretStr = Field(min_length=1)
    password: SecretStr | None = Field(default=None, min_length=1)
    password_file: Path | None = None
    system: Annotated[Text, BeforeValidator(_number_as_text)] | None = None
    """Redfish: the system's id or path. Not needed where the BMC has one only."""
    ca_file: Path | None = None
    """Redfish: who signed the BMC's certificate, if not somebody whom this machine knows."""
    verify: Annotated[bool, Strict()] = True
    uuid: Text | None = Field(default=None, repr=False)
    """What the BMC says of its system. Not needed where that is what the host says of itself."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.password is None) == (self.password_file is None):
            raise PydanticCustomError("bmc", "give either password or password_file")
        if self.address.startswith("http://"):
            raise PydanticCustomError("bmc", "plain http would show the password to everybody: use https")
        if split_address(self.address) is None:
            raise PydanticCustomError("bmc", "address is neither HOST nor HOST:PORT")
        if self.driver == "ipmi" and (self.system or self.ca_file or not self.verify or "/" in self.address):
            raise PydanticCustomError("bmc", "an ipmi entry has address, username, password and uuid only")
        if self.ca_file is not None and not self.verify:
            raise PydanticCustomError("bmc", "ca_file and verify: false contradict each other")
        if self.uuid is not None and system_uuid(self.uuid) is None:
            raise PydanticCustomError("bmc", "uuid is not one that names a machine")
        return self


def split_address(address: str) -> tuple[str, int | None] | None:
    """Name and port of HOST, HOST:PORT, [V6]:PORT, and a bare IPv6 address; a scheme and a path are let be. None: it
    is none of these."""
    whole = address.removeprefix("https://")
    bare = whole.partition("/")[0]
    if bare.count(":") > 1 and not bare.startswith("["):
        bare = f"[{bare}]"
    try:
        parts = urlsplit(f"//{bare}")
        is_sound = parts.hostname and parts.username is None and "://" not in whole and not set(bare) & set(" ?#")
        return (parts.hostname, parts.port) if is_sound and parts.hostname else None
    except ValueError:
        return None


class Bmcs(RootModel[dict[Text, Bmc]]):
    """The whole file: entries by the names of hosts."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


@dataclass(frozen=True, kw_only=True)
class Access:
    """How one BMC is reached. Only the host's name and the driver are ever shown."""

    host: str
    driver: BmcDriver
    address: str = field(repr=False)
    username: str = field(repr=False)
    password: str = field(repr=False)
    system: str | None = field(default=None, repr=False)
    verify: bool | str = field(default=True, repr=False)
    uuid: str | None = field(default=None, repr=False)


class BmcFile:
    """Read again when it changes. A change that is wrong is logged, and what was read before stands: a slip of the
    pen must not take the fence of every host away."""

    def __init__(self, path: Path, default: BmcDriver) -> None:
        """Raises BmcFileError."""
        self._path = path
        self._default: BmcDriver = default
        self._seen = self._signature()
        self._bmcs = self._read()

    def has(self, host: str) -> bool:
        return host in self._current()

    def of(self, host: str) -> Access:
        """Raises BmcFileError: the host is not in the file, or its password file cannot be read."""
        bmc = self._current().get(host)
        if bmc is None:
            raise BmcFileError(f"{self._path.name} has no entry for {host}", remedy=f"add a BMC for {host}")
        return Access(
            host=host,
            driver=bmc.driver or self._default,
            address=bmc.address,
            username=bmc.username.get_secret_value(),
            password=self._password(host, bmc),
            system=bmc.system,
            verify=str(self._beside(bmc.ca_file)) if bmc.ca_file else bmc.verify,
            uuid=bmc.uuid,
        )

    def _current(self) -> dict[str, Bmc]:
        seen = self._signature()
        if seen != self._seen:
            try:
                self._bmcs = self._read()
            except BmcFileError as error:
                log.error("the BMC file is wrong, what was read before stands", cause=error.line)
            self._seen = seen
        return self._bmcs

    def _read(self) -> dict[str, Bmc]:
        bmcs = read_document(self._path, BMCS).root
        for host, bmc in bmcs.items():
            self._password(host, bmc)
            if bmc.ca_file is not None and not self._beside(bmc.ca_file).is_file():
                raise BmcFileError(f"{self._path.name}: {host}.ca_file: there is no such file", remedy=BMCS.remedy)
        return bmcs

    def _password(self, host: str, bmc: Bmc) -> str:
        if bmc.password_file is None:
            return bmc.password.get_secret_value() if bmc.password else ""
        field_name = f"{self._path.name}: {host}.password_file"
        try:
            text = read_private(self._beside(bmc.password_file), BmcFileError).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not a text file in UTF-8"
            raise BmcFileError(f"{field_name}: cannot be read: {why}", remedy=BMCS.remedy) from None
        if not text:
            raise BmcFileError(f"{field_name}: the file is empty", remedy="put the password into it")
        return text

    def _beside(self, path: Path) -> Path:
        return self._path.parent / path.expanduser()

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _problems(error: ValidationError) -> tuple[Problem, ...]:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return tuple(Problem(path=each["loc"], message=_worded(each["type"], each["msg"])) for each in found)


def _worded(kind: str, message: str) -> str:
    known = ", ".join(Bmc.model_fields)
    plain = {
        "missing": "the key is missing",
        "model_type": "should be a mapping",
        "extra_forbidden": f"unknown key; known: {known}",
        "string_type": "should be text: put it in quotes",
    }
    return plain.get(kind, message[:1].lower() + message[1:])


BMCS = Kind(
    model=Bmcs,
    problems=_problems,
    error=BmcFileError,
    noun="BMC",
    shape="a BMC file is a mapping of host names",
    if_empty="name at least one host and its BMC",
    secret=True,
)
