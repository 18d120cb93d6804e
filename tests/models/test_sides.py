import pytest

from synthray.errors import InputError
from synthray.models import mirror_order, mirrored_name


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("left_lung", "right_lung"),
        ("hip_left", "hip_right"),
        ("FH-l", "FH-r"),
        ("FH-R", "FH-L"),
        ("Left Lung", "Right Lung"),
        ("lung", "lung"),
        ("clavicle", "clavicle"),
        ("sternal_rib", "sternal_rib"),
        ("upper_left_lobe", "upper_right_lobe"),
    ],
)
def test_mirrored_names(name, other):
    assert mirrored_name(name) == other
    assert mirrored_name(other) == name


def test_order_points_at_the_partner():
    assert mirror_order(["left_lung", "heart", "right_lung"]) == (2, 1, 0)
    assert mirror_order([]) == ()


def test_a_missing_partner_is_named():
    with pytest.raises(InputError, match="right_lung"):
        mirror_order(["left_lung", "heart"])
