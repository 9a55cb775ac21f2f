"""A line on stderr that says how far a task is and how long it may still take."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

__all__ = [
    "AnalysisReporter",
    "CubeReporter",
    "Reporter",
    "analysis_words",
    "cube_words",
    "fit_words",
    "progress_line",
    "stage_words",
]

EVERY = 0.2
"""Seconds between two writes; a terminal cannot show more, and a fit should not wait for it."""


class Reporter:
    """Adds to what a fit reports which of how many fits it is and the time left, and passes it on.

    A set of species is fitted species by species and then together. The time left assumes that the stages to
    come take as long as those that are over; it is None during the first.

    Parameters
    ----------
    inner : callable or None
        Gets the dict; a true answer cancels.
    groups : sequence of sequence of str
        Species of each fit.
    """

    def __init__(
        self, inner: Callable[[dict[str, Any]], Any] | None, groups: Sequence[Sequence[str]]
    ) -> None:
        self.inner, self.groups, self.fit = inner, groups, 0
        self._began = time.monotonic()
        self._seen: set[tuple[int, object]] = set()

    def start(self) -> None:
        """Begin the next fit."""
        self.fit += 1

    def __call__(self, report: dict[str, Any]) -> bool:
        """Pass on; True cancels the fit."""
        if self.inner is None:
            return False
        self._seen.add((self.fit, report.get("stage")))
        whole = {
            "eta_s": self._eta(),
            **report,
            "species": " + ".join(self.groups[self.fit - 1]),
            "fit": self.fit,
            "n_fits": len(self.groups),
        }
        return bool(self.inner(whole))

    def _eta(self) -> float | None:
        n_stages = [len(group) + (len(group) > 1) for group in self.groups]
        here = sum(fit == self.fit for fit, _ in self._seen)
        done = sum(n_stages[: self.fit - 1]) + here - 1
        if done < 1:
            return None
        return (time.monotonic() - self._began) / done * max(sum(n_stages) - done, 1)


class AnalysisReporter:
    """Adds the time left to what an agent reports, where the agent gives none, and passes it on.

    Parameters
    ----------
    inner : callable
        Gets the dict; a true answer cancels.
    """

    def __init__(self, inner: Callable[[dict[str, Any]], Any]) -> None:
        self.inner = inner
        self._stage: object = None
        self._began = 0.0

    def __call__(self, report: dict[str, Any]) -> bool:
        """Pass on; True cancels the run."""
        now = time.monotonic()
        if report.get("stage") != self._stage:
            self._stage, self._began = report.get("stage"), now
        done, total = report.get("done"), report.get("total")
        eta = report.get("eta_s")
        if eta is None and done and total:
            eta = (now - self._began) / done * max(total - done, 0)
        return bool(self.inner({**report, "eta_s": eta}))


class CubeReporter:
    """Adds to what a fit of a cube reports which of how many fits it is and the pixels per second, and passes it on.

    Pixels that come from a store are not counted into the rate.

    Parameters
    ----------
    inner : callable
        Gets the dict; a true answer cancels.
    labels : sequence of str
        Species of each fit.
    """

    def __init__(self, inner: Callable[[dict[str, Any]], Any], labels: Sequence[str]) -> None:
        self.inner, self.labels, self.fit = inner, labels, 0
        self._stage: object = None
        self._before = 0

    def start(self) -> None:
        """Begin the next fit."""
        self.fit += 1
        self._stage = None

    def __call__(self, report: dict[str, Any]) -> bool:
        """Pass on; True cancels the run."""
        if report.get("stage") != self._stage:
            self._stage, self._before = report.get("stage"), 0
        done, elapsed = int(report.get("done", 0)), float(report.get("elapsed_s") or 0.0)
        if report.get("restored"):
            self._before = done
        rate = (done - self._before) / elapsed if elapsed > 0 and done > self._before else None
        whole = {
            "rate": rate,
            **report,
            "species": self.labels[self.fit - 1],
            "fit": self.fit,
            "n_fits": len(self.labels),
        }
        return bool(self.inner(whole))


def cube_words(report: Mapping[str, Any]) -> str:
    """Put the report of a fit of a cube into words."""
    several = f"{report['fit']}/{report['n_fits']} " if report.get("n_fits", 1) > 1 else ""
    rate = "" if not report.get("rate") else f", {report['rate']:.3g} per s"
    return (
        f"{several}{report.get('species', '')}: {stage_words(str(report.get('stage', '')))} "
        f"{report.get('done', 0)}/{report.get('total', 0)} pixels{rate}"
    )


def stage_words(stage: str) -> str:
    """Name of a stage in words: ``sweep_2`` is the second look at pixels, from their neighbours."""
    kind, _, number = stage.partition("_")
    words = {"fit": "fit", "sweep": "sweep", "redo": "redo"}.get(kind, kind)
    return f"{words} {number}".strip()


def fit_words(report: Mapping[str, Any]) -> str:
    """Put the report of a fit into words."""
    return (
        f"{report.get('fit', 1)}/{report.get('n_fits', 1)} {report.get('species', '')}: "
        f"{report.get('stage', '')} {report.get('n_evaluations', 0)} spectra, "
        f"loss {report.get('best_loss', float('nan')):.6g}"
    )


def analysis_words(report: Mapping[str, Any]) -> str:
    """Put the report of a term analysis into words."""
    total = "" if report.get("total") is None else f"/{report['total']}"
    score = "" if report.get("score") is None else f", J {report['score']:.4g}"
    return (
        f"{report.get('stage', '')} {report.get('done', 0)}{total}: {report.get('n_levels', 0)} levels{score}"
    )


def progress_line(
    stream: TextIO | None = None, words: Callable[[Mapping[str, Any]], str] = fit_words
) -> Callable[[dict[str, Any]], None]:
    """Make a reporter that rewrites one line of a terminal, and writes nothing elsewhere."""
    out = stream if stream is not None else sys.stderr
    last = [0.0]

    def show(report: dict[str, Any]) -> None:
        now = time.monotonic()
        if not out.isatty() or now - last[0] < EVERY:
            return
        last[0] = now
        eta = report.get("eta_s")
        left = "" if eta is None else f", about {eta:.0f} s left"
        out.write(f"\r\x1b[K{(words(report) + left)[:110]}")
        out.flush()

    return show
