"""The task `termanalysis_rl` for casashell."""

from ..definitions import DEFINITIONS
from ..task_object import TaskObject

__all__ = ["termanalysis_rl"]

termanalysis_rl = TaskObject(DEFINITIONS["termanalysis_rl"])
