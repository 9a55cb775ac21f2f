"""What is known of molecules: transitions, partition functions, names, catalogues."""

from .database import LineDatabase
from .partition import PartitionFunction
from .transitions import Origin, Transitions

__all__ = ["LineDatabase", "Origin", "PartitionFunction", "Transitions"]
