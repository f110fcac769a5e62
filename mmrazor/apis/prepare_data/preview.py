"""A picture of scenes with their boxes and masks, to check them by eye."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from PIL import Image, ImageDraw

from .compose import Bytes, Scene

#: Colour of background and each class.
PALETTE = (
    (0, 0, 0),
    (230, 25, 75),
    (60, 180, 75),
    (255, 225, 25),
    (0, 130, 200),
    (245, 130, 48),
    (145, 30, 180),
    (70, 240, 240),
    (240, 50, 230),
    (210, 245, 60),
    (250, 190, 212),
)
ZOOM, MARGIN_PX = 2, 6


def _zoomed(image: Bytes) -> Image.Image:
    picture = Image.fromarray(image)
    size = (picture.width * ZOOM, picture.height * ZOOM)
    return picture.resize(size, Image.Resampling.NEAREST)


def scene_row(scene: Scene, classes: Sequence[str]) -> list[Image.Image]:
    """Return a scene plain, with named boxes, and as coloured semantic mask."""
    boxes = _zoomed(scene.image)
    draw = ImageDraw.Draw(boxes)
    for placed in scene.objects:
        x, y, width, height = (ZOOM * value for value in placed.box)
        colour = PALETTE[placed.category]
        # Drawn around the extent, so that no pixel of the object is covered.
        draw.rectangle((x - 1, y - 1, x + width, y + height), outline=colour)
        name = classes[placed.category - 1]
        left, top, right, bottom = draw.textbbox((x, max(0, y - 13)), name)
        draw.rectangle((left, top, right, bottom), fill=(0, 0, 0))
        draw.text((x, max(0, y - 13)), name, fill=colour)
    coloured = np.array(PALETTE, dtype=np.uint8)[scene.semantic_mask()]
    return [_zoomed(scene.image), boxes, _zoomed(coloured)]


def preview_picture(scenes: Sequence[Scene], classes: Sequence[str]) -> Image.Image:
    """Draw scenes below each other: plain, boxes, masks; two scenes in a row.

    Args:
        scenes: At least one, all of the same size.
        classes: Names of the categories 1, 2, ...
    """
    rows = [scene_row(scene, classes) for scene in scenes]
    lines = [list(chain(*rows[i : i + 2])) for i in range(0, len(rows), 2)]
    step = rows[0][0].width + MARGIN_PX
    sheet = Image.new(
        "RGB", (step * max(len(line) for line in lines), step * len(lines)), "white"
    )
    for row, line in enumerate(lines):
        for column, picture in enumerate(line):
            sheet.paste(picture, (column * step, row * step))
    return sheet
