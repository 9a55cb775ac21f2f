"""The evidence score, and the search that accepts the most confident levels first."""

from .agent import evidence
from .model import EvidenceModel, model_for

__all__ = ["EvidenceModel", "evidence", "model_for"]
