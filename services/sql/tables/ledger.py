"""The ledger itself: which one it is, how far it has come, and whose it is."""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlmodel import Field

from evacuation.ledger import Witness
from services.sql.tables.columns import Row, Utc, json_of


class LedgerRow(Row, table=True):
    """One row. `position` grows with every transaction that a restored backup must not repeat; `owner` is the Temporal
    namespace whose control workers write; `doubt`: who has seen another ledger than this one, or a later position.
    `unasked`: hosts that a reconciliation could not ask."""

    id: int = Field(default=1, primary_key=True)
    ledger: str
    position: int = Field(default=0, sa_type=BigInteger)
    owner: str | None = None
    owned_at: datetime | None = Field(default=None, sa_type=Utc)
    replaces: list[str] = Field(default_factory=list, sa_type=json_of(list[str]))
    unasked: list[str] = Field(default_factory=list, sa_type=json_of(list[str]))
    doubt: Witness | None = Field(default=None, sa_type=json_of(Witness))
