"""Exceptions and warnings of the package, and the message for a missing optional one."""

import importlib
from types import ModuleType

from astropy.utils.exceptions import AstropyUserWarning

__all__ = [
    "CatalogueError",
    "InputError",
    "OutputExistsError",
    "SpeciesError",
    "SpectunerError",
    "SpectunerWarning",
    "require",
]


class SpectunerError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(SpectunerError, ValueError):
    """What the user passed cannot be used; the message says what came, what is needed and what to do."""


class SpeciesError(InputError):
    """A species is unknown, ambiguous, or has no usable line in the observed range."""


class CatalogueError(SpectunerError):
    """A spectroscopic catalogue is missing, corrupt, or in a form that no reader knows."""


class OutputExistsError(SpectunerError, FileExistsError):
    """A product is already there and ``overwrite`` was not given."""


class SpectunerWarning(AstropyUserWarning):  # type: ignore[misc]  # astropy has no types
    """Something was done that the user should know of, such as an extrapolated partition function."""


_EXTRA_OF = {
    "casadata": "catalogues",
    "astroquery": "catalogues",
    "gymnasium": "rl",
    "dask": "cluster",
    "distributed": "cluster",
}


def require(module: str, *, extra: str | None = None) -> ModuleType:
    """Import an optional package, or say how to install it.

    Parameters
    ----------
    module : str
        Import name.
    extra : str, optional
        The extra of this distribution that brings it; looked up when not given.

    Raises
    ------
    ImportError
        With the ``pip`` line that installs the missing package.
    """
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        extra = extra or _EXTRA_OF.get(module.split(".")[0], "all")
        raise ImportError(
            f"this needs the optional package {module.split('.')[0]!r}, which is not installed; "
            f'run: pip install "spectuner-ext[{extra}]"'
        ) from missing
