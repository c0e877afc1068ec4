"""Ports follow the instance, and return."""

from temporalio import activity

from evacuation import messages as m
from evacuation.ports import Network


class NetworkActivities:
    def __init__(self, network: Network) -> None:
        self._network = network
        self.all = [self.set_up_network, self.tear_down_network]

    @activity.defn(no_thread_cancel_exception=True)
    def set_up_network(self, message: m.SetUpNetwork) -> m.NetworkInfo:
        """Each port bound to the destination; network info read from the service afterwards, not from a cache."""
        return m.NetworkInfo(nics=self._network.bind(message.ref, message.host))

    @activity.defn(no_thread_cancel_exception=True)
    def tear_down_network(self, message: m.Undo) -> m.Done:
        """Bindings that this evacuation left for places proven empty go; the source's are active again."""
        self._network.unbind(message.ref)
        return m.Done()
