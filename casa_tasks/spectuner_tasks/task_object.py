"""A task as an object, as casashell knows tasks: called like a function, or with inputs set as variables."""

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from .definitions import TaskDefinition
from .inputs import read_inputs, shown_inputs, written_inputs
from .json_values import is_unset
from .log import TaskLog
from .schema import coerced, counts
from .session import Variables, in_casashell, session_variables
from .typecheck import complaint

__all__ = ["TaskObject"]


class TaskObject:
    """A task with the methods that ``inp``, ``go``, ``default``, ``tget`` and ``tput`` of casashell call.

    Called with arguments it takes these, and defaults for the rest. Called without any it takes the variables of the
    session that have the names of its parameters, as long as they count beside the others.

    Parameters
    ----------
    definition : TaskDefinition
    variables : callable, optional
        Gives the variables of the session; by default those of casashell or of the interactive prompt.
    function : callable, optional
        What carries the task out; by default the function of that name in this package, loaded on the first call.
    """

    def __init__(
        self,
        definition: TaskDefinition,
        variables: Callable[[], Variables] = session_variables,
        function: Callable[..., Any] | None = None,
    ) -> None:
        self.definition = definition
        self.__name__ = self.__qualname__ = definition.name
        self.__doc__ = definition.heading
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(p.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
                for p in definition.parameters
            ]
        )
        self._variables = variables
        self._function = function

    def __repr__(self) -> str:
        return f"<task {self.definition.name}: {self.definition.title}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Carry the task out.

        Raises
        ------
        AssertionError
            If a value is of a wrong type or a file is missing, as from any task of CASA.
        TypeError
            If a keyword is unknown.
        Exception
            Whatever the function raises, after a line with the priority SEVERE in the log.
        """
        try:
            bound = self.__signature__.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{self.definition.name}() {error}") from None
        given = {name: value for name, value in bound.items() if value is not None} or self._set()
        given = {**{p.name: p.unset for p in self.definition.parameters if p.required}, **given}
        wrong = complaint(self.definition.parameters, given)
        if wrong:
            TaskLog(self.definition.name).severe(wrong)
            raise AssertionError(wrong)
        if in_casashell():
            self._save(Path(f"{self.definition.name}.last"), given)
        by_name = {p.name: p for p in self.definition.parameters}
        return self._task()(
            **{name: coerced(by_name[name], value) for name, value in given.items() if not is_unset(value)}
        )

    def _task(self) -> Callable[..., Any]:
        if self._function is None:
            module = import_module(f".task_{self.definition.name}", __package__)
            self._function = getattr(module, self.definition.name)
        return self._function

    def _set(self) -> dict[str, Any]:
        """Variables of the session that are inputs, without those that do not count beside the others."""
        variables, parameters = self._variables(), self.definition.parameters
        return {
            p.name: variables[p.name]
            for p in parameters
            if p.name in variables and variables[p.name] is not None and counts(parameters, p, variables)
        }

    def inp(self) -> None:
        """Print the inputs: in blue what is not the default, in red what cannot be used."""
        definition, colours = self.definition, sys.stdout.isatty()
        print(f"# {definition.name} -- {definition.title}")
        for line in shown_inputs(definition.parameters, self._variables(), colours=colours):
            print(line)

    def set_global_defaults(self) -> None:
        """Take back all inputs that are set."""
        variables = self._variables()
        for p in self.definition.parameters:
            variables.pop(p.name, None)

    def tget(self, savefile: str | os.PathLike[str] | None = None) -> None:
        """Set the inputs to those of a file: by default of the last call, else of the last `tput`.

        Raises
        ------
        InputError
            If the file holds something else.
        """
        name = self.definition.name
        file = Path(savefile) if savefile else Path(f"{name}.last")
        if not savefile and not file.is_file():
            file = Path(f"{name}.saved")
        if not file.is_file():
            print(f"there is no file {file} to take the inputs of {name} from; they have their defaults now")
            self.set_global_defaults()
            return
        values = read_inputs(file.read_text(encoding="utf-8"), self.definition.parameters, str(file))
        self.set_global_defaults()
        self._variables().update({n: value for n, value in values.items() if value is not None})

    def tput(self, outfile: str | os.PathLike[str] | None = None) -> bool:
        """Write the inputs to a file, by default one that `tget` finds by itself.

        Returns
        -------
        bool
            Whether that could be done.
        """
        file = Path(outfile) if outfile else Path(f"{self.definition.name}.last")
        return self._save(file, self._set())

    def _save(self, file: Path, given: Mapping[str, Any]) -> bool:
        values = {p.name: given.get(p.name, p.unset) for p in self.definition.parameters}
        lines, lost = written_inputs(self.definition.name, values)
        if lost:
            print(f"not in {file}, as objects have no form in it: {', '.join(lost)}")
        try:
            file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        except OSError as error:
            print(f"the inputs could not be written to {file}: {error.strerror}")
            return False
        return True
