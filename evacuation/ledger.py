"""The ledger's position, and who has seen it: by these a ledger that was restored from a backup, or is another one, is
told from the one that gave the epochs."""

from evacuation.model import Frozen


class LedgerMark(Frozen):
    """Which ledger, and how far it had come. `replaces`: ledgers whose fleet it has taken over."""

    ledger: str
    position: int
    replaces: tuple[str, ...] = ()

    def succeeds(self, other: "LedgerMark | None") -> bool:
        """Whether who has seen the other one goes by this one from now on."""
        if other is None or other.ledger in self.replaces:
            return True
        return other.ledger == self.ledger and other.position < self.position


class StartMark(LedgerMark):
    """What an evacuation writes down of itself, outside of the ledger, before its guest starts. `host`, in the boot
    `incarnation`: where; an older one does not say."""

    epoch: int
    host: str | None = None
    incarnation: str | None = None


class Witness(Frozen):
    """Who has seen the ledger, and at which mark."""

    who: str
    mark: LedgerMark


def why_not(now: LedgerMark, witness: Witness) -> str | None:
    """Why the ledger as it is now is not the one that the witness has seen. None: it may be."""
    seen = witness.mark
    if seen.ledger in now.replaces:
        return None
    if seen.ledger != now.ledger:
        return f"the store is not the one that {witness.who} has seen, but another one"
    if seen.position > now.position:
        lost = seen.position - now.position
        return f"the store is older than what {witness.who} has seen of it ({lost} transactions are missing)"
    return None
