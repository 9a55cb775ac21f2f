"""The parameters of `sdfit_lte` that are for cubes: which pixels and channels, how they are fitted, what is kept."""

from . import checks, checks_cube
from .parameter import CUBES, Parameter

__all__ = ["OF_CUBES"]

NOISES = ("local", "cube")

OF_CUBES: tuple[Parameter, ...] = (
    Parameter(
        "region",
        ("string", "variant"),
        "",
        "Pixels to fit: DS9 or CRTF file, or the text of one; object of the package regions; boolean array "
        "(ny, nx), True where a pixel is fitted. '' takes all that have data.",
        checks_cube.region,
        data=CUBES,
    ),
    Parameter(
        "chans",
        ("string", "stringVec"),
        "",
        "Channels to use, counted from 0 in the order of the file: '10~30;50~80'; a list has one for each window. '' "
        "takes all.",
        checks_cube.chans,
        data=CUBES,
    ),
    Parameter(
        "spw",
        ("string", "int", "stringVec"),
        "",
        "Windows to use, counted from 0 in the order of infile, perhaps with channels: '0,2' or '1:10~30'. "
        "'' takes all.",
        checks_cube.spw,
        data=CUBES,
    ),
    Parameter(
        "stokes",
        ("string",),
        "",
        "Stokes parameter to use, such as 'I' or 'XX', where cubes have several. '' takes the only one.",
        checks_cube.stokes,
        data=CUBES,
    ),
    Parameter(
        "reproject",
        ("bool",),
        False,
        "Bring cubes of another spatial grid onto the grid of the first; without it, grids that differ are "
        "refused.",
        checks.boolean,
        data=CUBES,
    ),
    Parameter(
        "min_peaks",
        ("double",),
        None,
        "Peaks per window, as a mean over the windows, that a pixel needs to be fitted: above 4 times the "
        "noise of the cube and 6 times that of its spectrum. Not given: one in all windows together, 5 times "
        "above the noise of its spectrum; 0: every pixel with data; the published cut is 3.",
        checks_cube.least_peaks,
        data=CUBES,
    ),
    Parameter(
        "noise_from",
        ("string",),
        "local",
        "Noise where none is given: of each spectrum (local), or one value per window from the whole cube "
        "(cube).",
        checks.choice(NOISES),
        choices=NOISES,
        data=CUBES,
    ),
    Parameter(
        "max_sweeps",
        ("int",),
        5,
        "After the first pass, pixels that jump from a neighbour are fitted again from its solution, and the "
        "better fit is kept; at most so many times over. 0: one pass.",
        checks.integer(0),
        data=CUBES,
    ),
    Parameter(
        "policy_every",
        ("int",),
        1,
        "With initial='policy': ask the network in every so many rows and columns only; the other pixels start from "
        "their neighbours' solutions.",
        checks.integer(1),
        data=CUBES,
        under="initial",
        when=("policy",),
    ),
    Parameter(
        "modelcube",
        ("bool",),
        False,
        "Write the model of every fitted pixel as a cube per window; needs outfile.",
        checks.boolean,
        data=CUBES,
        under="outfile",
    ),
    Parameter(
        "residualcube",
        ("bool",),
        False,
        "Write data minus model as a cube per window; needs outfile.",
        checks.boolean,
        data=CUBES,
        under="outfile",
    ),
    Parameter(
        "casaimages",
        ("bool",),
        None,
        "Write maps, and the cubes that are written, as CASA images in the folder name.images; needs outfile and "
        "casatools. Not given: where infile is a CASA image and casatools is installed.",
        checks.boolean,
        data=CUBES,
        under="outfile",
    ),
    Parameter(
        "store",
        ("string",),
        "",
        "Folder (zarr) in which every finished block is kept, for resume and redo. '' takes name.zarr beside "
        "the products, and none without outfile.",
        checks.path,
        data=CUBES,
    ),
    Parameter(
        "resume",
        ("bool",),
        False,
        "Go on with the store of a call that was cancelled or killed; what it holds is not fitted again.",
        checks.boolean,
        data=CUBES,
    ),
    Parameter(
        "workers",
        ("int",),
        None,
        "Threads on this machine that fit blocks. Not given: one per core. The result does not depend on it.",
        checks.integer(1),
        data=CUBES,
    ),
    Parameter(
        "client",
        ("string", "variant"),
        "",
        "Address of a dask scheduler, such as 'tcp://10.0.0.1:8786', a dask.distributed.Client, or a cluster; "
        "its workers fit the blocks.",
        checks_cube.client,
        data=CUBES,
    ),
    Parameter(
        "redo",
        ("string", "variant"),
        None,
        "Pixels of an existing result (outfile, store) to fit again, with the parameters of this call; all "
        "others are kept. List of (x, y) counted from 0, or as region.",
        checks_cube.pixels,
        data=CUBES,
    ),
    Parameter(
        "replace",
        ("bool",),
        False,
        "With redo: take the new fit even where the old one has the lower loss.",
        checks.boolean,
        data=CUBES,
        under="redo",
    ),
)
"""Parameters that make no sense for spectra, in the order they are listed."""
