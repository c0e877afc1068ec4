"""Exit codes of the programs: 0 done, 1 ended without recovering all, 2 refused or bad input, 3 not reachable."""

from evacuation.errors import (
    EvacuateError,
    HypervisorUnavailableError,
    PowerReadsOnError,
    Refusal,
    StoreSchemaError,
    StoreUnavailableError,
    TemporalUnavailableError,
)

DONE, NOT_RECOVERED, REFUSED, UNREACHABLE = 0, 1, 2, 3
INTERRUPTED = 130


def exit_code(error: EvacuateError) -> int:
    if isinstance(error, StoreUnavailableError | TemporalUnavailableError | HypervisorUnavailableError):
        return UNREACHABLE
    refused = isinstance(error, Refusal | StoreSchemaError | PowerReadsOnError)
    return REFUSED if refused else NOT_RECOVERED


def error_line(error: EvacuateError) -> str:
    """What stderr gets: one line, whatever the message holds."""
    return "error: " + " ".join(error.line.split())
