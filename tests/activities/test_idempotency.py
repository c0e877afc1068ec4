"""Every activity executed twice, and killed between its effect and its answer and executed again: one result.

Each story is told once undisturbed; then, for every step of it, on worlds that are disturbed at every step."""

import multiprocessing
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evacuation.errors import StaleAttemptError
from services.hypervisors.process import ProcessHost
from tests.activities.world import FLEET, STORIES, World, run_and_die

Disturb = Callable[[World, str], None]
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([run_and_die.__module__])


@pytest.fixture
def create(tmp_path: Path) -> Iterator[Callable[[str], World]]:
    worlds: list[World] = []

    def create(name: str) -> World:
        root = tmp_path / name
        root.mkdir()
        worlds.append(World.create(root))
        return worlds[-1]

    yield create
    for world in worlds:
        for host in FLEET.hosts:
            ProcessHost(world.root, host.name).power_off(lambda: None)
        world.sql.close()


def twice(world: World, step: str) -> None:
    first = world.run(step)
    before = world.snapshot()
    assert world.run(step) == first, f"{step} answers differently the second time"
    assert world.snapshot() == before, f"{step} has a second effect"


def killed(world: World, step: str) -> None:
    process = PROCESSES.Process(target=run_and_die, args=(world.root, step), daemon=True)
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    before = world.snapshot()
    world.run(step)
    assert world.snapshot() == before, f"{step} has a second effect after a kill"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("disturb", [twice, killed])
@pytest.mark.parametrize("story", STORIES)
def test_disturbed_story_ends_like_the_undisturbed_one(create, story: str, disturb: Disturb):
    calm, disturbed = create("calm"), create("disturbed")
    for step in STORIES[story]:
        calm.run(step)
        disturb(disturbed, step)
        assert shape(disturbed) == shape(calm), f"after {step}"


def test_late_completion_is_refused_when_the_undoing_has_begun(create):
    world = create("late")
    steps = STORIES["recovered"]
    for step in steps[: steps.index("detach_volumes") + 1]:
        world.run(step)
    world.run("tear_down_block_devices")
    with pytest.raises(StaleAttemptError):
        world.run("set_up_block_devices")
    (volume,) = world.sql.views.volumes()
    assert [attachment.host for attachment in volume.attachments] == [None]


def shape(world: World) -> str:
    """The snapshot with the ids that are new in every world replaced by the order in which they appear."""
    text = repr(world.snapshot())
    for number, found in enumerate(dict.fromkeys(UUID.findall(text))):
        text = text.replace(found, f"id-{number}")
    return text


UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
