"""`instance retry`: a person says that the start of an instance may be tried on another host."""

from cli.down import tell
from cli.in_place import errors_as_json
from cli.inputs import find_instance
from cli.output import print_one, say
from control.access import open_store, operator
from evacuation.statements import require_statement
from services.runtime.settings import Settings


def retry(settings: Settings, asked: str, statement: str, *, as_json: bool) -> None:
    """Prints the instance. Its evacuation looks again at once, if one waits. Again: nothing is changed. Raises
    EvacuateError."""
    with errors_as_json(as_json=as_json):
        remedy = "say who looked, and what was found"
        statement = require_statement(statement, "--confirmed-harmless", remedy=remedy)
        instance = find_instance(asked)
        with open_store() as services:
            hosts = services.store.pardon(instance.id, who=operator(), said=statement)
        say(_told(instance.name, hosts))
        tell(settings, {instance.id})
        if as_json:
            print_one(find_instance(instance.id), as_json=True)


def _told(name: str, hosts: tuple[str, ...]) -> str:
    if not hosts:
        return f"no start of {name} is held against it"
    return f"recorded: by your word {name} may start on another host, after {', '.join(hosts)}"
