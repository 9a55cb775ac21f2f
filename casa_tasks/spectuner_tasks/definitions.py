"""What is known of a task beside its parameters: its title and description, for docstrings, shells and CASA's XML."""

from collections.abc import Sequence
from dataclasses import dataclass

from .parameter import Parameter, described
from .parameters import SDFIT_LTE
from .parameters_termanalysis import TERMANALYSIS_RL

__all__ = ["DEFINITIONS", "TaskDefinition"]


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """A task as CASA defines tasks.

    Parameters
    ----------
    name : str
    title : str
        One line.
    description : str
        One paragraph.
    parameters : sequence of Parameter
        In the order of the call.
    category : str
        In CASA's words.
    """

    name: str
    title: str
    description: str
    parameters: Sequence[Parameter]
    category: str = "analysis"

    @property
    def heading(self) -> str:
        """First part of a docstring, down to the section of parameters."""
        section = f"Parameters\n----------\n{described(self.parameters)}"
        return f"{self.name} -- {self.title}\n\n{self.description}\n\n{section}"

    def parameter(self, name: str) -> Parameter:
        """Parameter of that name."""
        return next(p for p in self.parameters if p.name == name)


DEFINITIONS = {
    "sdfit_lte": TaskDefinition(
        "sdfit_lte",
        "fit LTE models of molecules to spectral lines, in spectra or in cubes",
        """\
Each species, or each set of species that are fitted together, is one fit of a uniform LTE slab per component to all
windows: source size (or filling factor), excitation temperature, total column density, line width and velocity. Of
cubes, every pixel with enough signal is fitted, and the result is maps. All parameters are checked before any work
starts. Nothing is printed, and nothing is written without outfile.""",
        SDFIT_LTE,
    ),
    "termanalysis_rl": TaskDefinition(
        "termanalysis_rl",
        "determine fine-structure levels of an atom or ion from observed lines",
        """\
A line list, a calculation and the levels known so far go in; an agent finds energies of further levels, the lines
that establish them, and how probable each level is. A setting is taken from the call, else from the file config, else
from the config.yaml of the case, else it has its default; the log and the summary say which. All parameters are
checked before any work starts. Nothing is printed, and nothing is written without outfile.""",
        TERMANALYSIS_RL,
    ),
}
"""Every task by its name."""
