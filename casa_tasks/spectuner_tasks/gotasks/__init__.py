"""The tasks as objects for casashell, and its commands for other prompts.

In casashell, ``from spectuner_tasks.gotasks import sdfit_lte`` and then ``inp(sdfit_lte)``, assignments, ``go``.
Elsewhere take the commands from here too. CASA lays packages of tasks out in this way, the plain functions
in the package and the objects in its ``gotasks``. Results are the same; only what is refused before any work differs:
an object raises AssertionError for wrong types and missing files, as all tasks of CASA do.
"""

from .commands import default, go, inp, tget, tput
from .sdfit_lte import sdfit_lte
from .termanalysis_rl import termanalysis_rl

__all__ = ["default", "go", "inp", "sdfit_lte", "termanalysis_rl", "tget", "tput"]
