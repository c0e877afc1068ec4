"""What a control worker serves."""

from workflows.delete_instance import DeleteInstance
from workflows.evacuate_instance import EvacuateInstance
from workflows.probe_host import ProbeHost
from workflows.report_host import ReportHost
from workflows.return_host import ReturnHost

ALL: list[type] = [EvacuateInstance, ReturnHost, DeleteInstance, ProbeHost, ReportHost]
