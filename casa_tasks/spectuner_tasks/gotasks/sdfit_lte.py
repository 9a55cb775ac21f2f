"""The task `sdfit_lte` for casashell."""

from ..definitions import DEFINITIONS
from ..task_object import TaskObject

__all__ = ["sdfit_lte"]

sdfit_lte = TaskObject(DEFINITIONS["sdfit_lte"])
