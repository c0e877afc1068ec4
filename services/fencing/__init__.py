"""Drivers that read and cut the power of hosts."""

from services.fencing.operator import OperatorFencing
from services.fencing.options import FenceOptions
from services.fencing.process import ProcessFencing

__all__ = ["FenceOptions", "OperatorFencing", "ProcessFencing"]
