"""Where the results of a call for cubes go, one set of files and one store per group of species."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spectuner_ext.errors import InputError, OutputExistsError
from spectuner_ext.pipeline.cubes.identity import attributes_of
from spectuner_ext.pipeline.cubes.map_files import existing_maps
from spectuner_ext.pipeline.products import products_stem

from .casa_images import holds_casa_image, image_tool, is_ours
from .preparation import check_folder, check_places, grouped

__all__ = ["Outputs", "check_cube_outputs", "images_of", "outputs_of"]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the results of one group of species go.

    Parameters
    ----------
    label : str
        The group's species as typed, joined by `` + ``; key of whatever is listed per group.
    stem : str
        Path that its products share, without an ending; empty without outfile.
    store : str
        Path of its store; empty if there is none.
    images : str
        Path of the folder with its maps as CASA images; empty if none are written.
    """

    label: str
    stem: str
    store: str
    images: str = ""


def outputs_of(values: Mapping[str, Any]) -> tuple[Outputs, ...]:
    """Outputs of every group: of the only one as named in the call, of several with the species in the names."""
    groups = grouped(values)
    stem = str(products_stem(values["outfile"])) if values["outfile"] else ""
    store = values["store"] or (f"{stem}.zarr" if stem else "")
    if len(groups) == 1:
        return (Outputs(" + ".join(groups[0]), stem, store),)
    found: list[Outputs] = []
    endings: list[str] = []
    for group in groups:
        label, ending = " + ".join(group), _ending(group)
        n = 1 + sum(e == ending for e in endings)
        endings.append(ending)
        if n > 1:
            label, ending = f"{label} ({n})", f"{ending}_{n}"
        found.append(Outputs(label, stem and f"{stem}{ending}", store and _with_ending(store, ending)))
    return tuple(found)


def _ending(group: tuple[str, ...]) -> str:
    """Species for the name of a file: ``CH3CN;v8=1;`` becomes ``_CH3CN_v8_1``, the ground state is not named."""
    plain = [species.removesuffix(";v=0;") for species in group]
    return "_" + re.sub(r"[^A-Za-z0-9+-]+", "_", "_".join(plain)).strip("_")


def _with_ending(store: str, ending: str) -> str:
    plain = store.removesuffix(".zarr")
    return f"{plain}{ending}{store[len(plain) :]}"


def check_cube_outputs(values: Mapping[str, Any]) -> tuple[Outputs, ...]:
    """Check that all outputs can be written, and that nothing is there that must not be replaced.

    Products of the same name are replaced with overwrite, resume or redo; a store only with overwrite.

    Raises
    ------
    OutputExistsError, InputError
    """
    check_places(values)
    for name in ("modelcube", "residualcube"):
        if values[name] and not values["outfile"]:
            raise InputError(f"{name}: needs outfile, beside whose maps the cubes are written")
    redo = values["redo"] is not None
    if redo and values["resume"]:
        raise InputError(
            "redo: adds to an earlier result as it is; leave resume out, or go on with that first"
        )
    if values["replace"] and not redo:
        raise InputError("replace: goes with redo, the pixels to fit again")
    going_on = values["resume"] or redo
    if going_on and not (values["outfile"] or values["store"]):
        raise InputError(
            f"{'redo' if redo else 'resume'}: needs the outfile or the store of the earlier call"
        )
    outputs = _with_images(outputs_of(values), values)
    for out in outputs:
        there = existing_maps(out.stem) if out.stem else []
        if there and not (values["overwrite"] or going_on):
            names = ", ".join(p.name for p in there)
            raise OutputExistsError(
                f"outfile: {names} in {there[0].parent} exist already; set overwrite=True or another name"
            )
        _check_images(out, values, going_on)
        if out.store:
            _check_store(out, values, going_on)
    return outputs


def _with_images(outputs: tuple[Outputs, ...], values: Mapping[str, Any]) -> tuple[Outputs, ...]:
    """Outputs with folders of CASA images, if they are asked for, or follow from what is fitted."""
    wanted = values["casaimages"]
    if wanted and not values["outfile"]:
        raise InputError("casaimages: needs outfile, beside whose maps the images are written")
    if wanted is False or not values["outfile"] or not (wanted or holds_casa_image(values["infile"])):
        return outputs
    try:
        image_tool()
    except ImportError as error:
        if wanted:
            raise InputError(f"casaimages: {error}") from error
        return outputs
    return tuple(replace(out, images=images_of(out.stem)) for out in outputs)


def images_of(stem: str) -> str:
    """Path of the folder with CASA images that belongs to products of that name."""
    return f"{stem}.images"


def _check_images(out: Outputs, values: Mapping[str, Any], going_on: bool) -> None:
    folder = Path(images_of(out.stem)) if out.stem else None
    if folder is None or not folder.exists():
        return
    if is_ours(folder) and not (values["overwrite"] or going_on):
        raise OutputExistsError(f"outfile: {folder} exists already; set overwrite=True or another name")
    if out.images and not is_ours(folder):
        raise OutputExistsError(
            f"casaimages: {folder} exists and does not hold images of an earlier call; give another outfile"
        )


def _check_store(out: Outputs, values: Mapping[str, Any], going_on: bool) -> None:
    path = Path(out.store)
    check_folder(path.parent, "store")
    is_there = attributes_of(path) is not None
    if is_there and not (values["overwrite"] or going_on):
        raise OutputExistsError(
            f"store: {path} holds a run already; resume=True goes on with it, overwrite=True begins anew"
        )
    if values["redo"] is not None and not is_there and not _maps_of(out).is_file():
        raise InputError(
            f"redo: there is neither a store {path} nor maps {_maps_of(out)} of an earlier call, into which pixels "
            f"could be fitted again"
        )


def _maps_of(out: Outputs) -> Path:
    return Path(f"{out.stem}.fits") if out.stem else Path()
