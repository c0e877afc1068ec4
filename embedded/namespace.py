"""The namespace of a stack on a Temporal server, with its search attributes."""

import asyncio
from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from evacuation.errors import TemporalUnavailableError
from evacuation.names import SEARCH_ATTRIBUTES
from services.runtime.settings import Settings
from services.runtime.temporal import connect


async def wait_until_ready(settings: Settings, *, timeout: float) -> None:
    """The server answers and the namespace has the search attributes. Raises TemporalUnavailableError."""
    deadline = asyncio.get_running_loop().time() + timeout
    while True:
        try:
            client = await connect(settings, timeout=2)
            await prepare_namespace(client)
            return
        except (TemporalUnavailableError, RPCError) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise TemporalUnavailableError(f"Temporal is not ready: {error}") from error
            await asyncio.sleep(0.1)


async def prepare_namespace(client: Client) -> None:
    """The namespace and the search attributes exist; what exists already is fine."""
    await _ensure_namespace(client)
    for name in SEARCH_ATTRIBUTES:
        await _ensure_search_attribute(client, name)


async def _ensure_namespace(client: Client) -> None:
    try:
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        request = RegisterNamespaceRequest(namespace=client.namespace)
        request.workflow_execution_retention_period.FromTimedelta(timedelta(days=7))
        await client.workflow_service.register_namespace(request)


async def _ensure_search_attribute(client: Client, name: str) -> None:
    request = AddSearchAttributesRequest(namespace=client.namespace)
    request.search_attributes[name] = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    try:
        await client.operator_service.add_search_attributes(request)
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
