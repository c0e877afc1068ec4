"""The container engine, and the images that it has."""

import os
from collections.abc import Mapping
from typing import NoReturn

import docker
import docker.errors
import pytest

REQUIRED = "EVACUATE_REQUIRE_CONTAINERS"
LOCAL = {"EVACUATE_IMAGE": "evacuate:local", "POSTGRES_IMAGE": "postgres:local", "TEMPORAL_IMAGE": "temporal:local"}
"""Images that deploy/images.sh builds; by the names of the compose file's variables."""
PUBLISHED = {"POSTGRES_IMAGE": "postgres:18", "TEMPORAL_IMAGE": "temporalio/temporal:latest"}
"""Images that it fetches where it can; evacuate's own is built by compose."""


def require_engine() -> docker.DockerClient:
    """Skips where no engine answers; fails instead where the environment says that one has to."""
    try:
        client = docker.from_env()
        client.ping()
        return client
    except docker.errors.DockerException as error:
        miss(f"no container engine answers ({' '.join(str(error).split())[:160]})")


def require_images(client: docker.DockerClient) -> Mapping[str, str]:
    """What the compose file's environment is to say. Skips, or fails, where there are no images."""
    found = {tag for image in client.images.list() for tag in image.tags}
    if set(LOCAL.values()) <= found:
        return LOCAL | {"EVACUATE_PULL_POLICY": "never"}
    if not set(PUBLISHED.values()) <= found:
        miss("the container engine has no images to test with")
    return PUBLISHED


def miss(reason: str) -> NoReturn:
    reason = f"{reason}, see `make test-containers`"
    if os.environ.get(REQUIRED):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
