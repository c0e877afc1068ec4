"""The power of hosts, looked at before anybody needs it. Nothing is ordered, and nothing is recorded."""

from temporalio import activity

from evacuation import messages as m
from evacuation.errors import FenceFailedError
from evacuation.model import PowerReading
from evacuation.ports import FencingDriver
from evacuation.power_check import PowerLook


class PowerCheckActivities:
    def __init__(self, fencing: FencingDriver) -> None:
        self._fencing = fencing
        self.all = [self.look_at_power]

    @activity.defn(no_thread_cancel_exception=True)
    def look_at_power(self, ref: m.HostRef) -> PowerLook:
        """What a fence of the host would meet now."""
        look = PowerLook(host=ref.host, driver=self._fencing.kind_of(ref.host), able=self._fencing.is_able(ref.host))
        if not look.able:
            return look
        try:
            power = PowerReading.OFF if self._fencing.is_off(ref.host) else PowerReading.ON
            doubt = self._fencing.doubt_about(ref.host) or ""
        except FenceFailedError as error:
            return look.model_copy(update={"failure": error.line})
        return look.model_copy(update={"power": power, "doubt": doubt})
