"""Temporal servers for tests: packages' own binaries, so that nothing is downloaded."""

import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.converter import DataConverter
from temporalio.testing import WorkflowEnvironment

from evacuation.names import SEARCH_ATTRIBUTES
from services.runtime.temporal import DATA_CONVERTER


def binary(name: str) -> str:
    """A program of this environment, found whether or not the environment is activated."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found, f"{name} is not installed in this environment"
    return found


@asynccontextmanager
async def time_skipping(converter: DataConverter = DATA_CONVERTER) -> AsyncIterator[WorkflowEnvironment]:
    env = await WorkflowEnvironment.start_time_skipping(
        data_converter=converter,
        test_server_existing_path=binary("temporal-test-server"),
    )
    async with env:
        request = AddSearchAttributesRequest(namespace=env.client.namespace)
        for name in SEARCH_ATTRIBUTES:
            request.search_attributes[name] = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        await env.client.operator_service.add_search_attributes(request)
        yield env
