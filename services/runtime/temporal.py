"""The one way to Temporal: address, namespace, TLS and API key by Temporal's environment configuration, which this
project's own settings override; messages as pydantic models."""

import asyncio
import dataclasses

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import KeepAliveConfig

from services.runtime.settings import Settings
from services.runtime.small_failures import SmallFailures
from services.runtime.temporal_address import connect_config, unavailable

DATA_CONVERTER = dataclasses.replace(pydantic_data_converter, failure_converter_class=SmallFailures)
CONNECT_TIMEOUT = 5.0
KEEP_ALIVE = KeepAliveConfig(interval_millis=12_000, timeout_millis=5_000)
"""A connection whose other end has changed its address is given up, and the name resolved again, before a silent host
is fenced (the hold). Servers refuse to be pinged more often than every ten seconds."""


async def connect(settings: Settings, *, timeout: float = CONNECT_TIMEOUT) -> Client:
    """A connected client, within `timeout` seconds. Raises TemporalUnavailableError."""
    address, config = connect_config(settings)
    try:
        return await asyncio.wait_for(
            Client.connect(**config, data_converter=DATA_CONVERTER, keep_alive_config=KEEP_ALIVE), timeout
        )
    except (RuntimeError, TimeoutError, ValueError) as error:
        raise unavailable(address, error) from error


async def namespace_id(client: Client) -> str:
    """The namespace's own id: the same after a fail-over, another one in a new cluster. Raises RPCError."""
    asked = DescribeNamespaceRequest(namespace=client.namespace)
    return (await client.workflow_service.describe_namespace(asked)).namespace_info.id
