"""Imported by every Python process whose PYTHONPATH has this folder: a worker of a stack is broken on purpose."""

import os
import sys

if os.environ.get("EVACUATE_SABOTAGE") and any(word.endswith("worker.py") for word in sys.orig_argv):
    from tests.chaos.sabotages import SABOTAGES

    SABOTAGES[os.environ["EVACUATE_SABOTAGE"]]()
