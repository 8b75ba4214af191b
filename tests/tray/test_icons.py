from itertools import combinations

import pytest
from PIL import Image, ImageChops

from voiced_tray.icons import draw_icon
from voiced_tray.state import IconState


def difference(one: Image.Image, two: Image.Image) -> int:
    """Pixels that clearly differ."""
    grey = ImageChops.difference(one.convert("L"), two.convert("L"))
    return sum(grey.histogram()[40:])


@pytest.mark.parametrize("size_px", [16, 22, 44, 64, 128])
@pytest.mark.parametrize("state", IconState)
def test_every_state_in_every_size(state: IconState, size_px: int) -> None:
    picture = draw_icon(state, size_px)
    assert (picture.mode, picture.size) == ("RGBA", (size_px, size_px))
    assert picture.getpixel((0, 0)) == (0, 0, 0, 0)


@pytest.mark.parametrize("size_px", [22, 64])
@pytest.mark.parametrize("is_template", [False, True])
def test_states_differ_without_their_colour(size_px: int, is_template: bool) -> None:
    pictures = {}
    for state in IconState:
        white = Image.new("RGBA", (size_px, size_px), (255, 255, 255, 255))
        white.alpha_composite(draw_icon(state, size_px, is_template=is_template))
        pictures[state] = white
    for one, two in combinations(IconState, 2):
        assert difference(pictures[one], pictures[two]) >= size_px**2 // 60, (one, two)


@pytest.mark.parametrize("state", IconState)
def test_a_template_has_no_colour(state: IconState) -> None:
    red, green, blue, alpha = draw_icon(state, 44, is_template=True).split()
    assert [band.getextrema() for band in (red, green, blue)] == [(0, 0)] * 3
    assert alpha.getextrema() == (0, 255)


@pytest.mark.parametrize("background", [245, 36])
@pytest.mark.parametrize("state", IconState)
def test_it_stands_out_on_light_and_on_dark_panels(state: IconState, background: int) -> None:
    panel = Image.new("RGBA", (22, 22), (background, background, background, 255))
    shown = panel.copy()
    shown.alpha_composite(draw_icon(state, 22))
    assert difference(shown, panel) >= 22**2 // 4
