"""Where Temporal is, by its own environment configuration, which this project's settings override."""

from temporalio.envconfig import ClientConfig, ClientConnectConfig

from evacuation.errors import TemporalUnavailableError
from services.runtime.settings import Settings

DEFAULT_ADDRESS = "127.0.0.1:7233"


def connect_config(settings: Settings) -> tuple[str, ClientConnectConfig]:
    """The address, and all that it takes to connect to it, with a namespace."""
    config = ClientConfig.load_client_connect_config()
    address = settings.temporal_address or config.get("target_host") or DEFAULT_ADDRESS
    config["target_host"] = address
    config["namespace"] = settings.temporal_namespace or config.get("namespace") or "default"
    return address, config


def unavailable(address: str, error: BaseException) -> TemporalUnavailableError:
    cause = str(error).strip().splitlines()
    return TemporalUnavailableError(
        f"Temporal does not answer at {address}" + (f" ({cause[0][:120]})" if cause else ""),
        remedy="start it (`evacuate up` for the embedded stack), or set EVACUATE_TEMPORAL_ADDRESS",
    )
