"""Draw one scene: windows, species, their parameters, and the spectrum with all that is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...fitting.peak_finder import make_work
from ...fitting.peak_matching import NOISE_FACTOR, REL_HEIGHT
from ...lte import kernel
from ...observation.observation import Observation, Window
from ...spectroscopy.transitions import Transitions
from ..case import Case
from .imperfections import Dirt, components_of, draw_dirt, observed
from .layouts import BANDS, Setup, draw_setup
from .library import SpeciesLibrary
from .members import Member, choose_species, draw_parameters
from .render_kernel import measure, render
from .settings import SceneSettings

__all__ = ["Scene", "draw_scene"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

OVERLAP = 0.25
"""A peak is blended where other species add this share of it."""

_ATTEMPTS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A simulated observation and what is in it.

    Parameters
    ----------
    observation : Observation
    members : tuple of Member
    kind : {"clean", "blended"}
    model : array, (n_channel,), in K
        Lines of all members without noise, windows one after another.
    recipe : mapping
        What `spectuner_ext.policy.scenes.stream.scene_of` makes the same scene from, JSON-able; empty for a scene
        that was drawn by hand.
    """

    observation: Observation
    members: tuple[Member, ...]
    kind: Literal["clean", "blended"]
    model: FloatArray
    recipe: Mapping[str, Any]

    def case(self, member: int) -> Case:
        """The observation, and one member's species."""
        return Case(self.observation, self.members[member].transitions)


def draw_scene(
    library: SpeciesLibrary,
    settings: SceneSettings,
    rng: np.random.Generator,
    recipe: Mapping[str, Any] | None = None,
) -> Scene:
    """Draw a scene.

    Parameters
    ----------
    library : SpeciesLibrary
    settings : SceneSettings
    rng : numpy Generator
    recipe : mapping, optional
        Kept in the scene.

    Raises
    ------
    InputError
        If no species of the target group has lines in any of 50 drawings of windows.

    Examples
    --------
    >>> from spectuner_ext.spectroscopy import LineDatabase
    >>> library = SpeciesLibrary(LineDatabase.open(), species=["CH3CN;v=0;", "CH3OH;v=0;"])
    >>> scene = draw_scene(library, SceneSettings(kind="clean"), np.random.default_rng(1))
    >>> [m.species for m in scene.members if m.is_visible]  # doctest: +SKIP
    ['CH3CN;v=0;']
    """
    blended = settings.kind == "blended" or (
        settings.kind == "mixed" and rng.random() < settings.blended_share
    )
    for _ in range(_ATTEMPTS):
        band = int(rng.choice(settings.bands))
        line = library.some_line(settings.target_group, BANDS[band].sky, rng)
        setup = draw_setup(settings, band, line, rng)
        cast = choose_species(library, setup, settings, blended, rng)
        if cast is None:
            continue
        lines, index = library.bind(cast.species, *setup.reach())
        theta = draw_parameters(cast, lines, library, setup, settings, blended, rng)
        kept = np.flatnonzero(np.isfinite(theta[:, 0]))
        if kept.size and kept[0] == 0:
            break
    else:
        raise InputError(
            f"target_group: no species of {settings.target_group!r} could be put into any of {_ATTEMPTS} sets of "
            f"windows in bands {settings.bands}; give a library of more species, or want fewer lines"
        )
    dirt = settings.imperfections
    components = [components_of(theta[m], dirt, rng) for m in kept]
    start = np.concatenate([[0], np.cumsum([len(c) for c in components])]).astype(np.int64)
    grid = setup.grid()
    parts, model = np.zeros((kept.size, grid.nu.size)), np.zeros(grid.nu.size)
    work = kernel.workspace(grid, lines, int(np.diff(start).max()))
    render(np.concatenate(components), start, kept, grid, lines, kernel.Accuracy(), work, parts, model)
    n_peak, n_overlapped = np.zeros((2, kept.size), dtype=np.int64)
    snr = np.zeros(kept.size)
    peak_work = make_work(max(nu.size for nu in setup.nu))
    measure(
        grid.nu, grid.start, parts, model, setup.sigma, NOISE_FACTOR, REL_HEIGHT, OVERLAP, peak_work,
        n_peak, n_overlapped, snr,
    )  # fmt: skip
    members = tuple(
        Member(
            species=library.names[cast.species[m]],
            group=library.groups[cast.species[m]],
            transitions=_transitions(
                library, int(cast.species[m]), int(m), lines.start, index, len(setup.nu)
            ),
            theta=theta[m],
            n_detectable=int(n_peak[k]),
            peak_snr=float(snr[k]),
            blend=float(n_overlapped[k] / max(n_peak[k], 1)),
            is_exact=len(components[k]) == 1,
        )
        for k, m in enumerate(kept)
    )
    observation = _observe(model, setup, draw_dirt(setup, dirt, float(theta[0, 3]), rng), rng)
    return Scene(observation, members, "blended" if blended else "clean", model, recipe or {})


def _transitions(
    library: SpeciesLibrary, species: int, group: int, start: IntArray, index: IntArray, n_window: int
) -> Transitions:
    """Lines of a species that were bound, each once."""
    rows = np.unique(index[start[group * n_window] : start[(group + 1) * n_window]])
    return library.transitions[species].select(rows - library.start[species])


def _observe(model: FloatArray, setup: Setup, dirt: Dirt, rng: np.random.Generator) -> Observation:
    """Put an observation together from its model spectrum."""
    intensity = observed(model, setup, dirt, rng)
    windows, first = [], 0
    for i, nu in enumerate(setup.nu):
        part = slice(first, first + nu.size)
        used = dirt.mask[part]
        windows.append(
            Window(
                nu=nu,
                intensity=intensity[part],
                sigma=np.full(nu.size, setup.sigma[i] * dirt.stated),
                mask=used,
                t_continuum=np.full(nu.size, setup.continuum[i]),
                beam=setup.beam[i],
                t_cmb=setup.t_cmb,
                name=f"simulated {i + 1}",
                smoothing=dirt.smoothing,
                notes={
                    "n_nan": 0,
                    "n_masked": int(nu.size - np.count_nonzero(used)),
                    "noise_source": "given",
                },
            )
        )
        first += nu.size
    return Observation(tuple(windows), meta={"simulated": True})
