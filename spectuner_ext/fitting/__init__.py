"""Losses, solvers and their results over one `Problem`."""
