"""Reader of files in the VAMDC/XCLASS schema, the embedded database among them."""

from pathlib import Path

from ..database import LineDatabase
from ..transitions import Transitions

__all__ = ["read"]


def read(source: str | Path | None, species: str, f_min: float, f_max: float) -> Transitions:
    """Lines of `species` between `f_min` and `f_max` [MHz]; None is the database that the package ships.

    Raises
    ------
    SpeciesError
        When the species is unknown or ambiguous.
    CatalogueError
        When the file is not in the schema.
    """
    with LineDatabase.open(source) as database:
        return database.select(species, [(f_min, f_max)])
