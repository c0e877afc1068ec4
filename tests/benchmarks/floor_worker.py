"""The floor's workers, with the real ones' settings: python -m tests.benchmarks.floor_worker control | HOST"""

import asyncio
import sys

from evacuation.names import CONTROL_QUEUE, host_queue
from services.runtime.logs import configure_logs
from services.runtime.settings import Settings
from tests.benchmarks.floor import Floor, FloorActivities
from worker import until_stopped
from workers.serving import connect_patiently, forever, serving


async def serve(settings: Settings, role: str) -> None:
    client, floor = await connect_patiently(settings), FloorActivities()
    if role == "control":
        queue = serving(
            client,
            settings,
            queue=CONTROL_QUEUE,
            activities=floor.control,
            workflows=[Floor],
            slots=settings.control_activities,
            pollers=settings.control_pollers,
        )
    else:
        queue = serving(
            client,
            settings,
            queue=host_queue(role),
            activities=floor.host,
            slots=settings.host_activities,
            pollers=settings.host_pollers,
            host=role,
        )
    async with queue:
        await forever()


def main() -> None:
    settings = Settings()
    configure_logs(settings, worker=sys.argv[1])
    asyncio.run(until_stopped(serve(settings, sys.argv[1])))


if __name__ == "__main__":
    main()
