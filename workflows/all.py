"""What a control worker serves."""

from workflows.accept_host import AcceptHost
from workflows.ask_hosts import AskHosts
from workflows.check_power import CheckPower
from workflows.delete_instance import DeleteInstance
from workflows.evacuate_instance import EvacuateInstance
from workflows.fence_host import FenceHost
from workflows.follow_instance import FollowInstance
from workflows.probe_host import ProbeHost
from workflows.report_host import ReportHost
from workflows.return_host import ReturnHost
from workflows.start_instance import StartInstance
from workflows.stop_instance import StopInstance

ALL: list[type] = [
    EvacuateInstance,
    ReturnHost,
    DeleteInstance,
    FenceHost,
    AcceptHost,
    ProbeHost,
    AskHosts,
    CheckPower,
    ReportHost,
    StartInstance,
    StopInstance,
    FollowInstance,
]
