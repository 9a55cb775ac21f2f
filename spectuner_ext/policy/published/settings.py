"""What a published checkpoint says of itself, checked: sizes of the network, tokens, scales and bounds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ..case import LOWER, UPPER

__all__ = ["IN_CHANNELS", "N_LINE_FEATURES", "Settings", "read_settings"]

IN_CHANNELS = 11
"""Features of a point of the velocity grid; see `spectuner_ext.policy.published.tokens`."""

N_LINE_FEATURES = 4
"""Features of a transition besides its partition function."""

MAX_LENGTH = 4096
"""Transitions read at most, where the checkpoint does not say."""

_NAMES = ("theta", "T_ex", "N_tot", "delta_v", "v_offset")
_LOGARITHMIC = (True, False, True, True, False)
_OLD_NAMES = {"v_LSR": "v_offset"}
_LARGEST = 1 << 16  # of any size: a damaged number must not make us build for hours
_BOUND_TOLERANCE = 1e-4  # of bounds near Table 1, in the scales of the fit


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes of the network, its tokens, and the box of its parameters.

    Parameters
    ----------
    d_model, n_head, d_ff, n_block : int
        Width, attention heads, hidden width of the feed-forward nets, encoder blocks.
    d_sl : int
        Features of a transition: 4, and one for each temperature of the partition function.
    n_grid, d_patch : int
        Points of the velocity grid around a line, and of one patch of it.
    v_width : float, in km/s
        Half-width of the velocity grid.
    max_length : int
        Transitions read at most; of more, a random subset.
    n_dim, n_bin : int
        Parameters, and bins of each conditional density.
    beta, width_min : float
        Sharpness of the softmax over bin widths, and the least width before they are normalised.
    permute : tuple of int
        Order in which the first coupler sees the parameters.
    n_coupler : int
    bounds : tuple of (float, float)
        Box of the parameters: log10 eta, T_ex [K], log10 N_tot [cm^-2], log10 FWHM [km/s], v_off [km/s].
    value_function : bool
        Whether the file holds the head that is used in training only.
    """

    d_model: int
    n_head: int
    d_ff: int
    n_block: int
    d_sl: int
    n_grid: int
    d_patch: int
    v_width: float
    max_length: int
    n_dim: int
    n_bin: int
    beta: float
    width_min: float
    permute: tuple[int, ...]
    n_coupler: int
    bounds: tuple[tuple[float, float], ...]
    value_function: bool

    @property
    def n_patch(self) -> int:
        """Patches of the grid around a line."""
        return self.n_grid // self.d_patch


def read_settings(config: object) -> Settings:
    """Read the ``config`` of a checkpoint.

    Parameters
    ----------
    config : mapping
        ``nn.backbone``, ``nn.sampler``, ``nn.need_vf``, ``embedding``, and ``param_info`` or
        ``sl_model.params``.

    Raises
    ------
    InputError
        If something is missing, of another kind, or not what this implementation computes.
    """
    root = _mapping(config, "config")
    nn = _mapping(root.get("nn"), "config.nn")
    backbone = _mapping(nn.get("backbone"), "config.nn.backbone")
    sampler = _mapping(nn.get("sampler"), "config.nn.sampler")
    embedding = _mapping(root.get("embedding"), "config.embedding")
    for part, where, name in (
        (backbone, "config.nn.backbone", "v6"),
        (sampler, "config.nn.sampler", "v2"),
        (embedding, "config.embedding", "v3"),
    ):
        _same(part, "name", where, name)
    _same(backbone, "ff_type", "config.nn.backbone", "swiglu")
    _same(backbone, "in_channels", "config.nn.backbone", IN_CHANNELS)
    _same(sampler, "n_dim", "config.nn.sampler", len(_NAMES))
    bounds = _bounds(sampler)
    _check_parameters(root, bounds)

    def size(part: Mapping[str, Any], key: str, where: str) -> int:
        return _whole(part.get(key), f"{where}.{key}")

    settings = Settings(
        d_model=size(backbone, "d_model", "config.nn.backbone"),
        n_head=size(backbone, "n_head", "config.nn.backbone"),
        d_ff=size(backbone, "d_ff", "config.nn.backbone"),
        n_block=size(backbone, "n_block", "config.nn.backbone"),
        d_sl=size(backbone, "d_sl", "config.nn.backbone"),
        n_grid=size(embedding, "n_grid", "config.embedding"),
        d_patch=size(backbone, "d_patch", "config.nn.backbone"),
        v_width=_positive(embedding.get("v_width"), "config.embedding.v_width"),
        max_length=_whole(embedding.get("max_length") or MAX_LENGTH, "config.embedding.max_length"),
        n_dim=len(_NAMES),
        n_bin=size(sampler, "n_bin", "config.nn.sampler"),
        beta=_positive(sampler.get("beta"), "config.nn.sampler.beta"),
        width_min=_number(sampler.get("width_min", 0.0), "config.nn.sampler.width_min"),
        permute=_permutation(sampler.get("permute")),
        n_coupler=size(sampler, "n_block", "config.nn.sampler"),
        bounds=bounds,
        value_function=bool(nn.get("need_vf", False)),
    )
    _check_sizes(settings)
    return settings


def _check_sizes(s: Settings) -> None:
    if s.d_model % s.n_head:
        raise InputError(
            f"weights: config.nn.backbone.d_model is {s.d_model}, which {s.n_head} heads do not divide; "
            "the file is damaged, fetch it again"
        )
    if s.n_grid % s.d_patch:
        raise InputError(
            f"weights: config.embedding.n_grid is {s.n_grid}, which patches of {s.d_patch} do not divide; "
            "the file is damaged, fetch it again"
        )
    if s.d_sl <= N_LINE_FEATURES:
        raise InputError(
            f"weights: config.nn.backbone.d_sl is {s.d_sl}; {N_LINE_FEATURES} features of a line and the "
            "partition function at one temperature or more are needed"
        )
    if not 0.0 <= s.width_min < 1.0 / s.n_bin:
        raise InputError(
            f"weights: config.nn.sampler.width_min is {s.width_min}; {s.n_bin} bins need one from 0 to {1 / s.n_bin}"
        )


def _check_parameters(root: Mapping[str, Any], bounds: tuple[tuple[float, float], ...]) -> None:
    where = "config.param_info"
    described = root.get("param_info")
    if described is None:
        where = "config.sl_model.params"
        described = _mapping(root.get("sl_model"), "config.param_info or config.sl_model").get("params")
    params = {_OLD_NAMES.get(str(k), str(k)): v for k, v in _mapping(described, where).items()}
    if tuple(params) != _NAMES:
        raise InputError(
            f"weights: {where} lists the parameters {', '.join(params) or 'none'}; "
            f"{', '.join(_NAMES)} in this order are needed"
        )
    for name, logarithmic, box, low, high in zip(_NAMES, _LOGARITHMIC, bounds, LOWER, UPPER, strict=True):
        info = _mapping(params[name], f"{where}.{name}")
        if info.get("is_log") is not logarithmic:
            raise InputError(
                f"weights: {where}.{name}.is_log is {info.get('is_log')!r}, but {name} is proposed "
                f"{'as its log10' if logarithmic else 'on a linear scale'}; this file belongs to another model"
            )
        if name == "theta" and info.get("special", "eta") != "eta":
            raise InputError(
                f"weights: {where}.theta.special is {info.get('special')!r}; 'eta', a filling factor, is needed"
            )
        if "bound" in info and _pair(info["bound"], f"{where}.{name}.bound") != box:
            raise InputError(
                f"weights: {where}.{name}.bound is {info['bound']}, config.nn.sampler.bounds says {box}; "
                "the file contradicts itself, fetch it again"
            )
        if box[0] < low - _BOUND_TOLERANCE or box[1] > high + _BOUND_TOLERANCE:
            raise InputError(
                f"weights: the network proposes {name} from {box[0]} to {box[1]}, the fit allows {low} to "
                f"{high:.5f}; this file belongs to another model"
            )


def _bounds(sampler: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
    where = "config.nn.sampler.bounds"
    rows = _sequence(sampler.get("bounds"), where)
    if len(rows) != len(_NAMES):
        raise InputError(
            f"weights: {where} has {len(rows)} rows; one for each of {', '.join(_NAMES)} is needed"
        )
    return tuple(_pair(row, f"{where}[{i}]") for i, row in enumerate(rows))


def _pair(value: object, where: str) -> tuple[float, float]:
    row = _sequence(value, where)
    if len(row) != 2:
        raise InputError(f"weights: {where} is {value!r}; a lower and an upper bound are needed")
    low, high = (_number(x, where) for x in row)
    if not low < high:
        raise InputError(f"weights: {where} is {value!r}; the lower bound must be below the upper one")
    return low, high


def _permutation(value: object) -> tuple[int, ...]:
    where = "config.nn.sampler.permute"
    order = tuple(int(_number(x, where)) for x in _sequence(value, where))
    if sorted(order) != list(range(len(_NAMES))):
        raise InputError(f"weights: {where} is {value!r}; an order of 0 to {len(_NAMES) - 1} is needed")
    return order


def _same(part: Mapping[str, Any], key: str, where: str, needed: object) -> None:
    if part.get(key) != needed:
        raise InputError(
            f"weights: {where}.{key} is {part.get(key)!r}; only {needed!r}, the published one, can be computed here"
        )


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(
            f"weights: {where} is {_short(value)}; a mapping is needed, as in the checkpoint of Spectuner-D1"
        )
    return value


def _sequence(value: object, where: str) -> Sequence[Any]:
    if hasattr(value, "tolist"):  # an array or tensor
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        raise InputError(f"weights: {where} is {_short(value)}; a list is needed")
    return value


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"weights: {where} is {_short(value)}; a number is needed")
    return float(value)


def _positive(value: object, where: str) -> float:
    number = _number(value, where)
    if number <= 0:
        raise InputError(f"weights: {where} is {number}; a positive number is needed")
    return number


def _whole(value: object, where: str) -> int:
    number = _positive(value, where)
    if number != int(number) or number > _LARGEST:
        raise InputError(f"weights: {where} is {number}; a whole number up to {_LARGEST} is needed")
    return int(number)


def _short(value: object) -> str:
    return "missing" if value is None else repr(value)[:80]
