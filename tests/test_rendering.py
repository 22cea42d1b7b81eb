"""Arrays to pictures, on arrays whose pictures are known."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from samples import DETAILS

from demo.images import open_photo
from demo.query import Row
from demo.rendering import COLOURS, gradient_limit, gradient_picture, overlay, scales

GREY = Image.new("RGB", (4, 2), (100, 100, 100))
# The ends of the two colour maps, as published by their authors.
ENDS = {
    "viridis": ((68, 1, 84), (253, 231, 36)),
    "inferno": ((0, 0, 3), (252, 254, 164)),
    "jet": ((0, 0, 127), (127, 0, 0)),
}


@pytest.mark.parametrize("colours", COLOURS)
def test_the_peak_gets_the_strongest_colour_and_zero_the_weakest(colours):
    heat = np.array([[0, 0, 5, 5], [0, 0, 5, 5]])
    picture = overlay(GREY, heat, 5, colours, opacity=1)
    assert (picture.getpixel((0, 0)), picture.getpixel((3, 1))) == ENDS[colours]


def test_a_map_without_evidence_stays_at_zero():
    picture = overlay(GREY, np.zeros((1, 1)), 0, "viridis", opacity=1)
    assert picture.getcolors() == [(8, ENDS["viridis"][0])]


def test_a_shared_peak_shows_which_map_is_weaker():
    weak, strong = (overlay(GREY, np.full((1, 1), value), 4, "viridis", opacity=1) for value in (2.0, 4.0))
    assert strong.getpixel((0, 0)) == ENDS["viridis"][1]
    assert weak.getpixel((0, 0)) == pytest.approx((33, 145, 140), abs=2)  # the middle of viridis


def test_one_scale_for_maps_of_different_shapes():
    rows = [Row({"gradcam": np.full((side, side), value)}, DETAILS) for side, value in ((2, 3.0), (4, 5.0), (1, -7.0))]
    assert scales(rows[:2], ["gradcam"]) == {"gradcam": 5}
    assert scales(rows, ["gradcam"]) == {"gradcam": 7}


def test_opacity_runs_from_the_photograph_to_the_map():
    half = overlay(GREY, np.full((1, 1), 3.0), 3, "jet", opacity=0.5)
    assert overlay(GREY, np.ones((1, 1)), 1, "jet", opacity=0).getpixel((0, 0)) == (100, 100, 100)
    assert half.getpixel((0, 0)) == pytest.approx((113, 50, 50), abs=1)


def test_opacity_that_follows_the_value_leaves_the_image_where_there_is_no_evidence():
    heat = np.array([[0.0, 1.0, 2.0, 4.0]])
    bare, quarter, half, peak = np.asarray(
        overlay(GREY.resize((4, 1)), heat, 4, "viridis", opacity=0.8, uniform=False)
    )[0]
    assert bare.tolist() == [100, 100, 100]
    assert peak.tolist() == pytest.approx([100 + 0.8 * (v - 100) for v in ENDS["viridis"][1]], abs=1)
    assert quarter.tolist() == pytest.approx([100 + 0.2 * (v - 100) for v in (59, 82, 139)], abs=1)
    assert half.tolist() == pytest.approx([100 + 0.4 * (v - 100) for v in (33, 145, 140)], abs=1)
    # On a scale that is shared with a stronger one it covers less; with no scale it is not drawn.
    assert overlay(GREY, np.full((1, 1), 1.0), 4, "viridis", 0.8, False).getpixel((0, 0)) == tuple(quarter)
    assert overlay(GREY, np.zeros((1, 1)), 0, "viridis", 0.8, False).getpixel((0, 0)) == (100, 100, 100)


def test_in_a_signed_map_opacity_follows_the_absolute_value():
    heat = np.array([[-2.0, -1.0, 0.0, 2.0]])
    blue, pale, bare, red = np.asarray(
        overlay(GREY.resize((4, 1)), heat, 2, "RdBu_r", opacity=1, uniform=False, signed=True)
    )[0]
    assert bare.tolist() == [100, 100, 100]
    assert blue.tolist() == [5, 48, 97]  # the ends of the colour map, as published
    assert red.tolist() == [103, 0, 31]
    assert pale.tolist() == pytest.approx([100 + 0.5 * (v - 100) for v in (106, 172, 208)], abs=2)
    middle = overlay(GREY, np.zeros((1, 1)), 2, "RdBu_r", opacity=1, signed=True).getpixel((0, 0))
    assert middle == pytest.approx((247, 247, 247), abs=2)


def test_gradients_keep_their_sign_around_mid_grey():
    gradient = np.zeros((3, 1, 4))
    gradient[0, 0] = [0, 2, -2, 100]
    picture = gradient_picture(gradient, 2, (4, 1))
    assert [picture.getpixel((x, 0))[0] for x in range(4)] == [128, 255, 0, 255]
    assert {picture.getpixel((x, 0))[1:] for x in range(4)} == {(128, 128)}


def test_a_gradient_of_nothing_is_grey():
    assert gradient_picture(np.zeros((3, 2, 2)), gradient_limit(np.zeros((3, 2, 2))), (5, 5)).getcolors() == [
        (25, (128, 128, 128))
    ]


def test_one_hot_pixel_does_not_black_out_the_rest():
    gradient = np.ones((3, 20, 20))
    gradient[0, 0, 0] = 1e6
    assert gradient_limit(gradient) == 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1280, 960), (640, 480)), ((300, 900), (213, 640)), ((80, 60), (80, 60)), ((900, 1), (640, 1))],
)
def test_panels_have_the_shape_of_the_photograph(size, expected):
    file = BytesIO()
    Image.new("RGB", size).save(file, "PNG")
    photo = open_photo(file.getvalue())
    assert photo.size == expected
    assert overlay(photo, np.ones((8, 8)), 1, "jet", 0.5).size == expected
    assert gradient_picture(np.ones((3, 256, 256)), 1, photo.size).size == expected
