"""Fit molecular lines under LTE and analyse atomic term systems."""

__version__ = "0.1.0.dev0"
