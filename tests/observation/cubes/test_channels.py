"""Windows and channels in CASA's words."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.observation.cubes import observe_cube
from spectuner_ext.observation.cubes.channels import selected_channels, selected_windows

SKY = 1e5 + 10.0 * np.arange(100)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5~8", [5, 6, 7, 8]),
        ("5~6;70~71", [5, 6, 70, 71]),
        (" 5 ~ 6 , 9", [5, 6, 9]),
        ("12", [12]),
        (12, [12]),
        ("<3", [0, 1, 2]),
        (">97", [98, 99]),
        ("100.1~100.13GHz", [10, 11, 12, 13]),
        ("100100MHz~100120MHz;99", [10, 11, 12, 99]),
        ("", range(100)),
        (None, range(100)),
    ],
)
def test_channels(text, expected):
    assert_array_equal(np.flatnonzero(selected_channels(text, SKY, "chans")), list(expected))
    assert_array_equal(np.flatnonzero(selected_channels(text, SKY[::-1], "chans")).size, len(list(expected)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5~100", "chans: channel 100 of '5~100' does not exist; channels are 0 to 99"),
        ("8~5", "chans: the range '8~5' ends before it begins"),
        ("5~10^2", r"chans: '5~10\^2' is not understood"),
        ("5-10", "chans: '5-10' is not understood"),
        ("1.5~3", "chans: '1.5~3' is not understood"),
        (">99", "chans: '>99' selects no channel of 100"),
        ("300~301GHz", "chans: no channel lies in '300~301GHz'; the window has 100000.000 to 100990.000 MHz"),
        (True, "chans: cannot read True"),
    ],
)
def test_bad_channels(text, message):
    with pytest.raises(InputError, match=message):
        selected_channels(text, SKY, "chans")


@pytest.mark.parametrize(
    ("spw", "expected"),
    [
        (None, {0: [""], 1: [""], 2: [""]}),
        ("", {0: [""], 1: [""], 2: [""]}),
        ("*", {0: [""], 1: [""], 2: [""]}),
        ("0,2", {0: [""], 2: [""]}),
        ("1~2", {1: [""], 2: [""]}),
        (1, {1: [""]}),
        ([0, 1], {0: [""], 1: [""]}),
        ("2:5~60;70~90,0", {0: [""], 2: ["5~60;70~90"]}),
        ("high", {2: [""]}),
        ("'lo*':3", {0: ["3"], 1: ["3"]}),
        ("0:1,0:5", {0: ["1", "5"]}),
    ],
)
def test_windows(spw, expected):
    assert selected_windows(spw, ["low", "lower", "high"]) == expected


@pytest.mark.parametrize(
    ("spw", "message"),
    [
        ("3", "spw: there is no window '3'; the source has 3: 0 'low', 1 'lower', 2 'high'"),
        ("middle", "spw: there is no window 'middle'"),
        ("0,,1", "spw: '' names no window"),
        (2.5, "spw: cannot read 2.5"),
    ],
)
def test_bad_windows(spw, message):
    with pytest.raises(InputError, match=message):
        selected_windows(spw, ["low", "lower", "high"])


@pytest.fixture
def pair(write_cube):
    return [write_cube("low.fits"), write_cube("high.fits", CRVAL3=101e9, CDELT3=-1e6)]


def test_numbers_count_in_the_order_of_the_file(pair, cube_values):
    cube = observe_cube(pair, spw="1:2~3;6")
    assert [w.name for w in cube.frame.windows] == ["high"]
    window = cube.frame.windows[0]
    assert_array_equal(window.nu, 101e3 - np.arange(6, 1, -1.0))
    assert_array_equal(window.mask, [True, False, False, True, True])
    block = cube.block(2, 3, 4, 5)
    assert_array_equal(block.value[0], np.where(window.mask, cube_values[6:1:-1, 2, 4], 0))
    assert_array_equal(block.good[0], window.mask)


def test_chans_and_spw_meet(pair):
    cube = observe_cube(pair, spw="0:0~10,1", chans="5~20")
    assert [w.nu.size for w in cube.frame.windows] == [6, 16]
    cube = observe_cube(pair, chans=["3~4", ""])
    assert [w.nu.size for w in cube.frame.windows] == [2, 24]
    with pytest.raises(InputError, match=r"chans: selects no channel of .*low.fits that spw selects too"):
        observe_cube(pair, spw="0:0~4", chans="5~20")
    with pytest.raises(InputError, match=r"chans: has 3 elements, but the source has 2 cubes"):
        observe_cube(pair, chans=["3~4", "", ""])


def test_one_channel_keeps_its_width(pair, cube_values):
    for channel, neighbour in ((0, 1), (9, 8)):
        cube = observe_cube(pair[0], chans=str(channel))
        window = cube.frame.windows[0]
        assert window.nu.size == 2
        assert set(window.nu - 1e5) == {channel, neighbour}
        assert_array_equal(window.nu[window.mask], [1e5 + channel])


def test_mask_ranges_and_arrays(pair, cube_values):
    cube = observe_cube(pair, mask="100010~100012MHz")
    assert_array_equal(np.flatnonzero(~cube.frame.windows[0].mask), [10, 11, 12])
    assert cube.frame.windows[1].mask.all()
    use = np.ones(24, bool)
    use[3] = False
    cube = observe_cube(pair, mask=[None, use])
    assert_array_equal(np.flatnonzero(~cube.frame.windows[1].mask), [20])
    assert not cube.block(0, 1, 0, 1).good[0, 24 + 20]


def test_masked_window_is_dropped(pair):
    cube = observe_cube(pair, mask="100900~101100MHz", noise=[0.1, 0.2])
    assert cube.notes["dropped"] == ("high",)
    assert_array_equal(cube.block(0, 1, 0, 1).sigma, [[0.1]])
    with pytest.raises(InputError, match=r"mask: leaves no channel in any window"):
        observe_cube(pair, mask="90~110GHz")


def test_names(pair, tmp_path):
    assert [w.name for w in observe_cube(pair, names=["a", "b"], spw="b").frame.windows] == ["b"]
    with pytest.raises(InputError, match=r"names: has 1 elements, but the source has 2 cubes"):
        observe_cube(pair, names=["a"])
    (tmp_path / "there").mkdir()
    namesake = tmp_path / "there" / pair[0].name
    namesake.write_bytes(pair[0].read_bytes())
    twice = observe_cube([pair[0], namesake])
    assert [w.name for w in twice.frame.windows] == ["low_1", "low_2"]
    assert len(observe_cube(str(tmp_path / "*.fits")).frame.windows) == 2
