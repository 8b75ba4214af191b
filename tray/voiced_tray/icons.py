"""The icon, drawn with Pillow: state = colour of the body and a badge, so that neither colour-blind people nor
one-coloured panels miss it.

Everything stands in a unit square, is drawn 8 times larger and reduced. The badge is half the width: smaller ones are
mush in panels of 22 pixels. No letters, for the same reason.
"""

import sys
from collections.abc import Callable

from PIL import Image, ImageDraw

from voiced_tray.state import IconState

SIZE_PX = 44 if sys.platform == "darwin" else 64
"""Panels scale: 64 is enough for those of 22 to 48 pixels; 44 is the menu bar's size on a Retina display."""

_OVERSAMPLING = 8
_PINS_FROM_PX = 20
"""Below, the pins of the chip are only noise."""

_Colour = tuple[int, int, int, int]
_Point = tuple[float, float]
_Place = Callable[[float, float], _Point]
"""From the unit square to pixels."""

_CLEAR: _Colour = (0, 0, 0, 0)
_BLACK: _Colour = (0, 0, 0, 255)
_WHITE: _Colour = (255, 255, 255, 255)
_CORE: _Colour = (255, 255, 255, 235)
_RED: _Colour = (214, 48, 49, 255)

_BODY: dict[IconState, _Colour] = {
    IconState.IDLE: (120, 128, 138, 255),
    IconState.CPU: (52, 120, 246, 255),
    IconState.CUDA: (70, 170, 60, 255),
    IconState.BUSY: (240, 150, 20, 255),
    IconState.PAUSED: (132, 94, 194, 255),
    IconState.ERROR: _RED,
    IconState.OFFLINE: (120, 128, 138, 255),
}
_BADGE_LEFT, _BADGE_SIZE, _RING = 0.46, 0.54, 0.05


def draw_icon(state: IconState, size_px: int = SIZE_PX, *, is_template: bool = False) -> Image.Image:
    """Return the icon as an RGBA picture.

    Args:
        state: What it says.
        size_px: Width and height.
        is_template: Black and alpha only, as the menu bar of macOS wants it.
    """
    side = size_px * _OVERSAMPLING
    picture = Image.new("RGBA", (side, side), _CLEAR)
    pen = ImageDraw.Draw(picture)
    body = _BLACK if is_template else _BODY[state]
    _draw_chip(pen, side, body, has_pins=size_px >= _PINS_FROM_PX, core=_CLEAR if is_template else _CORE)
    glyph = _GLYPHS.get(state)
    if glyph:
        disc, ink = (_BLACK, _CLEAR) if is_template else _badge_colours(state)
        _draw_disc(pen, side, disc)
        glyph(pen, _badge_place(side), ink)
    return picture.resize((size_px, size_px), Image.Resampling.LANCZOS)


def _draw_chip(pen: ImageDraw.ImageDraw, side: int, body: _Colour, *, has_pins: bool, core: _Colour) -> None:
    if has_pins:
        half = 0.045
        for middle in (0.30, 0.50, 0.70):
            for box in (
                (middle - half, 0.02, middle + half, 0.98),
                (0.02, middle - half, 0.98, middle + half),
            ):
                pen.rounded_rectangle(_scaled(box, side), radius=half * side, fill=body)
    pen.rounded_rectangle(_scaled((0.12, 0.12, 0.88, 0.88), side), radius=0.16 * side, fill=body)
    pen.rounded_rectangle(_scaled((0.30, 0.30, 0.70, 0.70), side), radius=0.07 * side, fill=core)


def _draw_disc(pen: ImageDraw.ImageDraw, side: int, disc: _Colour) -> None:
    """A clear gap sets the badge apart from the body, whatever the panel's colour."""
    low, high = _BADGE_LEFT, _BADGE_LEFT + _BADGE_SIZE
    pen.ellipse(_scaled((low - _RING, low - _RING, high + _RING, high + _RING), side), fill=_CLEAR)
    pen.ellipse(_scaled((low, low, high, high), side), fill=disc)


def _badge_colours(state: IconState) -> tuple[_Colour, _Colour]:
    """The disc is dark and the ink white: it stands out on light panels and on dark ones."""
    if state is IconState.ERROR:
        return (140, 0, 10, 255), _WHITE
    if state is IconState.OFFLINE:
        return (60, 62, 68, 255), _WHITE
    red, green, blue, alpha = _BODY[state]
    return (int(red * 0.55), int(green * 0.55), int(blue * 0.55), alpha), _WHITE


def _badge_place(side: int) -> _Place:
    return lambda x, y: ((_BADGE_LEFT + x * _BADGE_SIZE) * side, (_BADGE_LEFT + y * _BADGE_SIZE) * side)


def _scaled(box: tuple[float, float, float, float], side: int) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return left * side, top * side, right * side, bottom * side


def _square(pen: ImageDraw.ImageDraw, at: _Place, ink: _Colour) -> None:
    pen.rectangle((at(0.30, 0.30), at(0.70, 0.70)), fill=ink)


def _bolt(pen: ImageDraw.ImageDraw, at: _Place, ink: _Colour) -> None:
    corners = ((0.60, 0.10), (0.24, 0.56), (0.46, 0.56), (0.38, 0.92), (0.78, 0.42), (0.54, 0.42))
    pen.polygon([at(x, y) for x, y in corners], fill=ink)


def _dots(pen: ImageDraw.ImageDraw, at: _Place, ink: _Colour) -> None:
    for middle in (0.24, 0.50, 0.76):
        pen.ellipse((at(middle - 0.11, 0.39), at(middle + 0.11, 0.61)), fill=ink)


def _bars(pen: ImageDraw.ImageDraw, at: _Place, ink: _Colour) -> None:
    for left in (0.28, 0.56):
        pen.rectangle((at(left, 0.26), at(left + 0.16, 0.74)), fill=ink)


def _bang(pen: ImageDraw.ImageDraw, at: _Place, ink: _Colour) -> None:
    pen.rectangle((at(0.41, 0.16), at(0.59, 0.60)), fill=ink)
    pen.ellipse((at(0.40, 0.68), at(0.60, 0.88)), fill=ink)


def _cross(pen: ImageDraw.ImageDraw, at: _Place, ink: _Colour) -> None:
    width = round(at(0.15, 0)[0] - at(0, 0)[0])
    for start, end in (((0.27, 0.73), (0.73, 0.27)), ((0.27, 0.27), (0.73, 0.73))):
        pen.line((at(*start), at(*end)), fill=ink, width=width)


_GLYPHS: dict[IconState, Callable[[ImageDraw.ImageDraw, _Place, _Colour], None]] = {
    IconState.CPU: _square,
    IconState.CUDA: _bolt,
    IconState.BUSY: _dots,
    IconState.PAUSED: _bars,
    IconState.ERROR: _bang,
    IconState.OFFLINE: _cross,
}
