"""Term analysis: fine-structure levels of an atom or ion from observed lines and a calculation."""

from .levels import Levels
from .lines import LineList
from .settings import AnalysisSettings
from .system import ClassifiedLines, KnownLevels, TermSystem
from .transitions import Transitions

__all__ = [
    "AnalysisSettings",
    "ClassifiedLines",
    "KnownLevels",
    "Levels",
    "LineList",
    "TermSystem",
    "Transitions",
]
