"""The transitions that XCLASS reports (``TransEnergies``, ``transition_energies.dat``).

Columns: frequency [MHz], Doppler-shifted frequency [MHz], intensity [K], integrated intensity, energy of the lower
state [K], degeneracy of the upper state, Einstein A [s-1], upper state, lower state, name. Older versions write
neither state. Names of states may hold blanks, so that a line of text does not always show where the upper one
ends; both are then left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .document_bytes import read_bytes
from .number_text import parse_number
from .refusal import quoted, refusal
from .species_name import is_species_name
from .text_lines import parse_text

__all__ = ["ModelTransition", "parse_transitions", "read_transitions", "transitions_of_rows"]

KIND = "transitions"
LIMIT = 64 * 2**20  # bytes
_N_NUMBER = 7
_COLUMNS = (
    "frequency",
    "Doppler-shifted frequency",
    "intensity",
    "integrated intensity",
    "energy of the lower state",
    "degeneracy",
    "Einstein A",
)
_LOWEST_ENERGY = -1.0  # K; catalogues have lower states a little below their own zero


@dataclass(frozen=True, slots=True)
class ModelTransition:
    """A transition with its intensity in a model spectrum."""

    frequency: float  # at rest, MHz
    shifted_frequency: float  # where it appears, MHz
    intensity: float  # K
    integrated_intensity: float  # unit of the file; not stated in it
    lower_energy: float  # K (the database has cm-1)
    upper_degeneracy: float
    einstein_a: float  # s-1
    molecule: str
    upper: str | None = None  # name of the upper state
    lower: str | None = None


def read_transitions(path: str | Path) -> tuple[ModelTransition, ...]:
    """Read a table of transitions.

    Raises
    ------
    InputError
        With file and line, if a line is not one of the layouts that are known or a value is impossible.
    """
    return parse_transitions(read_bytes(path, KIND, LIMIT), str(path))


def parse_transitions(data: bytes | str, name: str = "transitions table") -> tuple[ModelTransition, ...]:
    """Transitions of the contents of a file; it may have none.

    Lines before the first row are the header; ``%`` and ``#`` begin comments only at the start of a line, as
    names of states may hold them.

    Raises
    ------
    InputError
        As for `read_transitions`.
    """
    text = parse_text(data, KIND, name, LIMIT)
    found: list[ModelTransition] = []
    for line, tokens in text.content(""):
        words = [token.text for token in tokens]
        if words[0][0] in "%#" or (not found and parse_number(words[0]) is None):
            continue
        found.append(_transition(words, name, line))
    return tuple(found)


def transitions_of_rows(
    rows: Sequence[Sequence[object]], name: str = "TransEnergies"
) -> tuple[ModelTransition, ...]:
    """Transitions of the list that a call of XCLASS returns, whose first row is a header.

    Parameters
    ----------
    rows : sequence of sequences
        Of ten numbers or texts each.
    name : str, optional
        For messages, which count rows from 0.

    Raises
    ------
    InputError
        If a row has another length or a value is impossible.
    """
    found = []
    for number, row in enumerate(rows):
        words = [str(item).strip() for item in row]
        if number == 0 and (not words or parse_number(words[0]) is None):
            continue
        if len(words) != 10:
            raise refusal(KIND, name, number, f"{len(words)} items", "a row of TransEnergies has ten")
        found.append(_transition(words, name, number))
    return tuple(found)


def _transition(words: list[str], name: str, line: int) -> ModelTransition:
    if len(words) < _N_NUMBER + 1 or not is_species_name(words[-1]):
        raise refusal(
            KIND,
            name,
            line,
            f"{len(words)} words, the last {quoted(words[-1])}",
            "seven numbers, the two states and the name of the molecule are needed",
        )
    numbers = [parse_number(word) for word in words[:_N_NUMBER]]
    values = [number for number in numbers if number is not None]
    if len(values) < _N_NUMBER:
        at = numbers.index(None)
        raise refusal(
            KIND, name, line, f"{quoted(words[at])} for the {_COLUMNS[at]}", "a finite number is needed"
        )
    for at in (0, 1, 5):
        if values[at] <= 0:
            raise refusal(KIND, name, line, f"{values[at]:g} for the {_COLUMNS[at]}", "it must be above zero")
    if values[6] < 0:
        raise refusal(KIND, name, line, f"{values[6]:g} for the {_COLUMNS[6]}", "it cannot be below zero")
    if values[4] < _LOWEST_ENERGY:
        raise refusal(KIND, name, line, f"{values[4]:g} K for the {_COLUMNS[4]}", "it cannot be below zero")
    upper, lower = words[_N_NUMBER:-1] if len(words) == 10 else (None, None)
    frequency, shifted, intensity, integrated, energy, degeneracy, einstein_a = values
    return ModelTransition(
        frequency, shifted, intensity, integrated, energy, degeneracy, einstein_a, words[-1], upper, lower
    )
