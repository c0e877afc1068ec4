"""Before a host dies: whether what would read and cut its power is its own, and reads what is so."""

from collections.abc import Iterator

from evacuation.model import Frozen, PowerReading


class PowerLook(Frozen):
    """What a fence of the host would meet. `failure`: why its power cannot be read, or is another machine's; `doubt`:
    why nothing shows that it is the host's own."""

    host: str
    driver: str
    able: bool
    power: PowerReading = PowerReading.UNKNOWN
    failure: str = ""
    doubt: str = ""


class PowerCheck(Frozen):
    """`answers`: its own worker was there after its power was read. `problem`: why a fence would fail, or would be
    wrong; `notes`: what nobody has shown to be right."""

    host: str
    driver: str
    answers: bool
    power: PowerReading
    problem: str | None
    notes: tuple[str, ...]


def judged(look: PowerLook, *, answers: bool) -> PowerCheck:
    """A host that answers must read on."""
    return PowerCheck(
        host=look.host,
        driver=look.driver,
        answers=answers,
        power=look.power,
        problem=look.failure or _contradiction(look, answers=answers),
        notes=tuple(_notes(look)),
    )


def _contradiction(look: PowerLook, *, answers: bool) -> str | None:
    if not answers or look.power is not PowerReading.OFF:
        return None
    return (
        f"the power of {look.host} reads off while its worker answers: another machine is read, or its BMC is wrong; "
        f"correct the entry of {look.host} in the BMC file before it has to be fenced"
    )


def _notes(look: PowerLook) -> Iterator[str]:
    if not look.able:
        yield f"nothing here can read the power of {look.host} ({look.driver}): a person's word has to prove it off"
    if look.doubt:
        yield look.doubt
