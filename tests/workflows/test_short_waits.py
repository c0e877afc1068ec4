"""A wait of less than a second takes what it says, on every server that this project starts or configures."""

import uuid
from pathlib import Path

import yaml

from services.runtime.settings import Settings
from tests.benchmarks.waits import SETTING, embedded_time_shift, rounds_of, server

DEPLOY = Path(__file__).parents[2] / "deploy"
DEFAULT = 0.95
"""Seconds that each of them takes at least where the setting is not in effect."""


async def test_grace_and_retry_take_less_than_a_second_on_the_embedded_server(temporal: str, tmp_path: Path):
    settings = Settings(temporal_address=temporal, temporal_namespace=f"t-{uuid.uuid4().hex[:12]}", state_dir=tmp_path)
    found = await rounds_of(settings, 3)
    assert 0.5 <= min(grace for _, grace, _ in found) < DEFAULT
    assert 0.2 <= min(retry for *_, retry in found) < DEFAULT


async def test_grace_takes_less_than_a_second_on_a_server_that_cannot_be_set(tmp_path: Path):
    with server(tmp_path, "1s") as address:
        found = await rounds_of(Settings(temporal_address=address, state_dir=tmp_path), 2)
    assert 0.5 <= min(grace for _, grace, _ in found) < DEFAULT


def test_deployed_servers_have_the_embedded_setting_of_the_embedded_one():
    cluster = yaml.safe_load((DEPLOY / "temporal" / "dynamicconfig.yaml").read_text())
    assert cluster[SETTING] == [{"value": embedded_time_shift()}]
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    option = f'--dynamic-config-value={SETTING}="{embedded_time_shift()}"'
    assert option in compose["services"]["temporal"]["command"]
