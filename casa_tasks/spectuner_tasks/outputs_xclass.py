"""The files that `sdfit_lte` writes for XCLASS."""

from collections.abc import Mapping, Sequence
from typing import Any

from spectuner_ext.fitting.result import FitResult
from spectuner_ext.pipeline.products import products_stem
from spectuner_ext.pipeline.request import components_for, resolved_names
from spectuner_ext.pipeline.xclass.result_files import write_result_files
from spectuner_ext.spectroscopy import LineDatabase

from .checks import is_policy
from .preparation import Prepared

__all__ = ["for_xclass"]


def for_xclass(
    values: Mapping[str, Any], prepared: Prepared, fits: Sequence[FitResult], database: LineDatabase
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Write them; what they are to their paths, and what they cannot say.

    Parameters
    ----------
    values : mapping
        Checked parameters.
    prepared : Prepared
    fits : sequence of FitResult
        One of each group; the last ones may be missing.
    database : LineDatabase
    """
    bounds, fixed = [], []
    for group, requests in zip(prepared.groups[: len(fits)], prepared.per_group[: len(fits)], strict=True):
        plain = {**requests, "initial": None} if is_policy(requests["initial"]) else requests
        asked = components_for(prepared.observation, group, resolved_names(group, database), **plain)
        bounds.append([c.bounds for c in asked])
        fixed.append([c.fixed for c in asked])
    stem = products_stem(values["outfile"])
    written = write_result_files(stem, prepared.observation, fits, bounds, fixed, prepared.wanted)
    return dict(written.files), written.remarks
