import pytest

from spectuner_ext.spectroscopy.quantum_labels import clean, is_hyperfine, rotational, split, upper_degeneracy


@pytest.mark.parametrize(
    ("label", "upper", "lower"),
    [
        ("13( 0,13)-12( 0,12) A", "13(0,13) A", "12(0,12) A"),
        ("  17(  3,14)-  17(  3,15) -+   ", "17(3,14) -+", "17(3,15) -+"),
        ("19(-12, 8)- 18(-12, 7)", "19(-12,8)", "18(-12,7)"),
        ("1- 0", "1", "0"),
        ("J=11-10<i>, l= 1e  </i>", "J=11, l=1e", "J=10, l=1e"),
        ("N= 9, J=17/2-17/2,  F= 8<sup>-</sup>- 8<sup>+</sup>", "N=9, J=17/2, F=8-", "N=9, J=17/2, F=8+"),
        ("20(  1)0a -  20(  1)0s", "20(1)0a", "20(1)0s"),
        ("18( 5,13) v= 1 - 18( 5,14) v= 0", "18(5,13)v=1", "18(5,14)v=0"),
        ("1( 1, 0)- 0( 0, 0), v<sub>t</sub>= 1- 0", "1(1,0), vt=1", "0(0,0), vt=0"),
        ("NULL", "", ""),
    ],
)
def test_label_is_taken_apart(label, upper, lower):
    assert split(clean(label)) == (upper, lower)


@pytest.mark.parametrize(
    ("label", "g"), [(" 1( 0)- 0( 0),  F= 1- 1", 3), ("N= 2, J=5/2-3/2", 6), ("J= 3- 2", 7), ("", None)]
)
def test_degeneracy_of_the_label(label, g):
    assert upper_degeneracy(clean(label)) == g


def test_components_share_their_rotational_label():
    whole, part = clean(" 3( 2)- 2( 2)"), clean("3(2)-2(2),  F= 3- 2")
    assert rotational(whole) == rotational(part)
    assert is_hyperfine(part)
    assert not is_hyperfine(whole)
