"""The port `HostStore`: hosts that come back, guests that start where they are, and instances that are deleted."""

from collections.abc import Collection, Sequence

from evacuation import messages as m
from evacuation.errors import HostIdentityError
from services.sql.database import Database
from services.sql.hosts import sightings
from services.sql.hosts.identity import note_refused
from services.sql.hosts.reports import record_report
from services.sql.hosts.returning import register
from services.sql.instances import following, in_place, returned, starting
from services.sql.instances.deleting import plan_deletion, record_deleted


class SqlHosts:
    """The port `HostStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, report: m.HostReport) -> m.ReturnPlan:
        """Who is refused is noted in a transaction of its own: if this dies before, who asks again is refused again."""
        try:
            plan, mark = self._database.write_marked(register, report)
        except HostIdentityError as error:
            self._database.write(note_refused, report, error.message)
            raise
        return plan.model_copy(update={"ledger": mark})

    def record_destroyed(self, guest: m.HostGuest) -> None:
        self._database.write(returned.record_destroyed, guest)

    def authorize_start(self, guest: m.HostGuest) -> m.AuthorizedStart:
        spec, mark = self._database.write_marked(starting.authorize_start, guest)
        return m.AuthorizedStart(**dict(spec), ledger=mark)

    def record_started(self, message: m.RecordStarted) -> None:
        self._database.write(starting.record_started, message)

    def plan_in_place(self, instance_id: str) -> m.InPlacePlan:
        return self._database.read(in_place.plan_in_place, instance_id)

    def authorize_in_place(self, message: m.AuthorizeInPlace) -> m.AuthorizedStart:
        spec, mark = self._database.write_marked(starting.authorize_in_place, message)
        return m.AuthorizedStart(**dict(spec), ledger=mark)

    def record_in_place(self, message: m.RecordInPlace) -> None:
        self._database.write(in_place.record_in_place, message)

    def record_look(self, instances: Collection[str], reports: Sequence[m.HostReport]) -> None:
        self._database.write(sightings.record_look, instances, reports)

    def plan_follow(self, instance_id: str) -> m.FollowPlan:
        return self._database.read(following.plan_follow, instance_id)

    def follow(self, message: m.FollowInstance) -> None:
        self._database.write(following.follow, message)

    def complete_return(self, host: m.ReturnedHost) -> None:
        self._database.write(returned.complete_return, host)

    def record_report(self, report: m.HypervisorReport) -> bool:
        return self._database.write(record_report, report)

    def plan_deletion(self, instance_id: str) -> m.DeletionPlan:
        return self._database.write(plan_deletion, instance_id)

    def record_deleted(self, guest: m.HostGuest | None, instance_id: str) -> None:
        self._database.write(record_deleted, guest, instance_id)
