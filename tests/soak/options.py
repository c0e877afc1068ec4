"""What a soak is asked for."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from evacuation.model import Frozen

EXAMPLES = """examples:
  python -m tests.soak                                    ten minutes on SQLite, as `make soak`
  python -m tests.soak --minutes 60 --rate 12 --seed 7    an hour, with a fault every five seconds
  python -m tests.soak --database postgres --out soak.jsonl
  python -m tests.soak --minutes 2 --rate 0 --no-locks    no faults but dead hosts; disks that nothing protects

Exit 0: every invariant held, nothing was left over, and nothing grew. Exit 1: the reasons are on stderr."""


class Options(Frozen):
    """`rate`: faults a minute. `scale`: of every timeout."""

    minutes: float = Field(default=10.0, gt=0)
    rate: float = Field(default=6.0, ge=0)
    seed: str = "1"
    database: Literal["sqlite", "postgres"] = "sqlite"
    hosts: int = Field(default=5, ge=3)
    instances: int = Field(default=40, ge=1, le=400)
    scale: float = Field(default=0.3, gt=0)
    locks: bool = True
    out: Path | None = None
    keep: Path | None = None


def parse(words: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Evacuates at random, under random faults, for as long as is asked.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fields = Options.model_fields
    add = parser.add_argument
    add("--minutes", type=float, default=fields["minutes"].default, help="how long (default: %(default)s)")
    add("--rate", type=float, default=fields["rate"].default, help="faults a minute (default: %(default)s)")
    add("--seed", default=fields["seed"].default, help="of all that is random (default: %(default)s)")
    add("--database", choices=("sqlite", "postgres"), default="sqlite", help="the store (default: %(default)s)")
    add("--hosts", type=int, default=fields["hosts"].default, help="(default: %(default)s)")
    add("--instances", type=int, default=fields["instances"].default, help="(default: %(default)s)")
    add("--scale", type=float, default=fields["scale"].default, help="of every timeout (default: %(default)s)")
    add("--no-locks", dest="locks", action="store_false", help="disks without locks, so that split brain shows")
    add("--out", type=Path, metavar="FILE", help="a line of JSON for every line printed, and one for the end")
    add("--keep", type=Path, metavar="DIR", help="the stack's directory, with its logs; kept")
    given = vars(parser.parse_args(words))
    try:
        return Options.model_validate(given)
    except ValueError as error:
        first = error.errors()[0]  # type: ignore[attr-defined]  # pydantic's ValidationError
        parser.error(f"--{first['loc'][0]}: {first['msg']}")
