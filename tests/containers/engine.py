"""The container engine, and the images that it has."""

import os
from collections.abc import Mapping

import docker
import docker.errors
import pytest

REQUIRED = "EVACUATE_REQUIRE_CONTAINERS"
LOCAL = {"EVACUATE_IMAGE": "evacuate:local", "POSTGRES_IMAGE": "postgres:local", "TEMPORAL_IMAGE": "temporal:local"}
"""Images that deploy/images.sh makes."""


def require_engine() -> docker.DockerClient:
    """Skips where no engine answers; fails instead where the environment says that one has to."""
    try:
        client = docker.from_env()
        client.ping()
        return client
    except docker.errors.DockerException as error:
        reason = f"no container engine answers, see `make test-containers` ({' '.join(str(error).split())[:160]})"
        if os.environ.get(REQUIRED):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def images(client: docker.DockerClient) -> Mapping[str, str]:
    """What the compose file's environment is to name: local images if they were made, else its own defaults."""
    found = {tag for image in client.images.list() for tag in image.tags}
    if set(LOCAL.values()) <= found:
        return LOCAL | {"EVACUATE_PULL_POLICY": "never"}
    return {}
