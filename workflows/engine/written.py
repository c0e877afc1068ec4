"""What a run writes down of the ledger outside of it: by this, and by the hosts, a ledger that was restored is told."""

from temporalio import workflow

from evacuation.ledger import LedgerMark, StartMark
from evacuation.names import LEDGER_MEMO


def write_down(ledger: LedgerMark | None, epoch: int, host: str, incarnation: str | None) -> None:
    """Before the guest of that epoch starts there."""
    if ledger is not None:
        mark = StartMark(**dict(ledger), epoch=epoch, host=host, incarnation=incarnation)
        workflow.upsert_memo({LEDGER_MEMO: mark})
