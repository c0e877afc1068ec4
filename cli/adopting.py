"""`evacuate fleet adopt`: hosts whose guests run already."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.inputs import require_name
from cli.options import JsonOption, StateDirOption, examples
from cli.output import print_rows, say
from control.access import open_store, settings
from evacuation.errors import MalformedRequestError

if TYPE_CHECKING:
    from control.adopting import AdoptOptions
    from evacuation.adoption import Adopted

COLUMNS = ("kind", "name", "host", "change", "note")

UrisArgument = Annotated[list[str] | None, typer.Argument(metavar="URI…", help="libvirt URIs, one for each host.")]
NamesOption = Annotated[
    list[str] | None,
    typer.Option("--name", metavar="NAME=URI", help="A host's name here (default: what it calls itself)."),
]
SharedDirOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--shared-dir",
        metavar="DIR",
        help="Disks below it are on shared storage. Where it is mounted here too, it gets its marker file.",
    ),
]
SkipOption = Annotated[
    list[str] | None, typer.Option("--skip", metavar="DOMAIN", help="Leave a domain out: name or uuid.")
]
ZoneOption = Annotated[str | None, typer.Option("--availability-zone", metavar="ZONE", help="Zone of these hosts.")]
CpuRatioOption = Annotated[
    float | None,
    typer.Option("--cpu-allocation-ratio", min=0.1, max=1000, help="Virtual CPUs for each real one (new hosts: 4)."),
]
RamRatioOption = Annotated[
    float | None, typer.Option("--ram-allocation-ratio", min=0.1, max=1000, help="The same for memory (new hosts: 1).")
]
KindOption = Annotated[
    Literal["kvm", "qemu"],
    typer.Option("--domain-type", help="How hosts run guests: with KVM, or emulated (qemu). Its CPU models count."),
]


def adopt_fleet(
    uris: UrisArgument = None,
    names: NamesOption = None,
    shared_dir: SharedDirOption = None,
    skip: SkipOption = None,
    availability_zone: ZoneOption = None,
    cpu_allocation_ratio: CpuRatioOption = None,
    ram_allocation_ratio: RamRatioOption = None,
    domain_type: KindOption = "kvm",
    as_json: JsonOption = False,
    state_dir: StateDirOption = None,
) -> None:
    """Take hosts and their domains into the store as they are; adopted again, what has changed is brought up to date.

    On the hosts, each domain's metadata gets Evacuate's mark, and libvirtd no longer starts it by itself.
    Nothing else is changed there, and nothing at all if anything is refused."""
    from control.adopting import AdoptOptions, adopt

    named = _named(names or [])
    every = _every(uris or [], named)
    options = AdoptOptions(
        names=named,
        shared_dirs=tuple(_directory(each) for each in shared_dir or []),
        skip=tuple(skip or []),
        availability_zone=require_name(availability_zone, "a zone") if availability_zone is not None else None,
        cpu_allocation_ratio=cpu_allocation_ratio,
        ram_allocation_ratio=ram_allocation_ratio,
        kind=domain_type,
        timeout=settings().libvirt_call_timeout,
    )
    with open_store() as services:
        found = adopt(services, every, options)
    print_rows(found, COLUMNS, as_json=as_json)
    _tell(options, found)


def _named(names: list[str]) -> dict[str, str]:
    """Names by URI. Raises MalformedRequestError, NotAdoptableError."""
    from control.adopting import require_uri

    found: dict[str, str] = {}
    for each in names:
        name, equals, uri = each.partition("=")
        if not equals:
            raise MalformedRequestError(f"--name {each!r} names no URI", remedy="give --name NAME=URI")
        if uri in found:
            raise MalformedRequestError(f"{uri} is given two names", remedy="name each host once")
        found[require_uri(uri)] = require_name(name, "a host")
    return found


def _every(uris: list[str], named: dict[str, str]) -> list[str]:
    from control.adopting import require_uri

    every = list(dict.fromkeys([*map(require_uri, uris), *named]))
    if not every:
        raise MalformedRequestError("no host is given", remedy="give URIs: evacuate fleet adopt qemu+tls://HOST/system")
    return every


def _directory(path: Path) -> Path:
    if not path.is_absolute():
        raise MalformedRequestError(f"--shared-dir {path} is not a whole path", remedy="begin it with /")
    return path


def _tell(options: "AdoptOptions", found: "tuple[Adopted, ...]") -> None:
    from control.adopting import not_mounted_here

    for directory in not_mounted_here(options):
        say(f"{directory} is not mounted here: the host workers mark it (EVACUATE_LIBVIRT_SHARED_DIRS)")
    hosts = sum(each.kind == "host" for each in found)
    say(f"{hosts} hosts, {len(found) - hosts} instances; a host is up once its worker runs there, on the host itself")


def add_to(app: typer.Typer) -> None:
    app.command(
        "adopt",
        epilog=examples(
            "fleet adopt qemu+tls://cmp-1.example/system qemu+tls://cmp-2.example/system --shared-dir /srv/vms",
            "fleet adopt --name cmp-1=qemu+ssh://root@10.0.0.1/system --availability-zone az1",
        ),
    )(adopt_fleet)
