"""Compose scenes of small objects on textures, with exact boxes and masks.

Cut-and-paste composition as in Dwibedi, Misra, Hebert: Cut, Paste and Learn, ICCV
2017, arXiv:1708.01642, without blending, so that every pixel has one owner. All
arithmetic on pixels is integer arithmetic, so that a seed gives the same pixels on
every machine. `H W` are rows and columns of a scene, `h w` of an object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MIN_SIDE_PX, MAX_SIDE_PX = 20, 48
MIN_OBJECTS, MAX_OBJECTS = 2, 6
MIN_CROP_PX, MAX_CROP_PX = 96, 192
INK = 10  # grey value from which a pixel belongs to the object; background is 0
GAP_PX = 2
TRIES = 60

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Cutout:
    """One object: its category, its place in the source set, pixels and mask."""

    category: int
    index: int
    grey_hw: Bytes
    mask_hw: Mask


@dataclass(frozen=True)
class PlacedObject:
    """An object of a scene; ``x, y`` is the top left corner of its mask's extent."""

    category: int
    index: int
    x: int
    y: int
    mask_hw: Mask

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, width and height in pixels; the extent of the mask."""
        return self.x, self.y, self.mask_hw.shape[1], self.mask_hw.shape[0]

    def mask(self, side: int) -> Mask:
        """Return the mask in a scene of ``side`` pixels, shape ``(H, W)``."""
        full_HW = np.zeros((side, side), dtype=bool)
        x, y, width, height = self.box
        full_HW[y : y + height, x : x + width] = self.mask_hw
        return full_HW


@dataclass(frozen=True)
class Scene:
    """A picture, shape ``(H, W, 3)``, and the objects in it."""

    image: Bytes
    objects: tuple[PlacedObject, ...]

    def semantic_mask(self) -> Bytes:
        """Return the category of each pixel, 0 for background, shape ``(H, W)``."""
        side = len(self.image)
        semantic_HW = np.zeros((side, side), dtype=np.uint8)
        for placed in self.objects:
            semantic_HW[placed.mask(side)] = placed.category
        return semantic_HW


def fill_holes(mask: Mask) -> Mask:
    """Add to a mask what it encloses: pixels with no way to the border.

    Example:
        >>> ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)
        >>> bool(fill_holes(ring).all())
        True
    """
    closed = np.pad(mask, 1)
    outside = np.zeros_like(closed)
    outside[0, 0] = True
    while True:
        grown = outside.copy()
        grown[1:] |= outside[:-1]
        grown[:-1] |= outside[1:]
        grown[:, 1:] |= outside[:, :-1]
        grown[:, :-1] |= outside[:, 1:]
        grown &= ~closed
        if np.array_equal(grown, outside):
            return ~outside[1:-1, 1:-1]
        outside = grown


def extent(mask: Mask) -> tuple[slice, slice]:
    """Return the rows and columns between the outermost pixels of a mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def cut_out(image: Bytes, side_px: int, category: int, index: int) -> Cutout | None:
    """Cut an object from its black background and resize it.

    Args:
        image: Grey picture, shape ``(28, 28)`` or any other.
        side_px: Length of the object's longer side, in pixels.
        category: Kept with the cutout.
        index: Kept with the cutout.

    Returns:
        The cutout, or None if too little of the object is visible.
    """
    ink = image >= INK
    if not ink.any():
        return None
    tight = image[extent(ink)]
    scale = side_px / max(tight.shape)
    height, width = (max(1, round(length * scale)) for length in tight.shape)
    resized = Image.fromarray(np.ascontiguousarray(tight)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    grey = np.asarray(resized)
    mask = fill_holes(grey >= INK)
    if 4 * mask.sum() < mask.size or min(mask.shape) < MIN_SIDE_PX // 3:
        return None
    rows_columns = extent(mask)
    return Cutout(category, index, grey[rows_columns], mask[rows_columns])


def random_tint(rng: np.random.RandomState, low: int) -> Bytes:
    """Return a colour whose channels lie in ``[low, 255]``."""
    return rng.randint(low, 256, size=3).astype(np.uint8)


def tinted(grey: Bytes, tint: Bytes) -> Bytes:
    """Colour a grey picture; 255 becomes the tint itself."""
    product = grey[..., None].astype(np.uint16) * tint.astype(np.uint16) // 255
    return product.astype(np.uint8)


def texture_part(texture: Bytes, train: bool) -> Bytes:
    """Return the rows of a texture that train or test backgrounds are cut from."""
    boundary = len(texture) * 5 // 8
    return texture[:boundary] if train else texture[boundary:]


def background(
    textures: Sequence[Bytes], side: int, rng: np.random.RandomState
) -> Bytes:
    """Crop, turn, resize and tint one texture to ``(side, side, 3)``."""
    texture = textures[rng.randint(len(textures))]
    longest = min(MAX_CROP_PX, *texture.shape)
    crop_px = rng.randint(min(MIN_CROP_PX, longest), longest + 1)
    top, left = (rng.randint(length - crop_px + 1) for length in texture.shape)
    crop = texture[top : top + crop_px, left : left + crop_px]
    turned = np.rot90(crop if rng.randint(2) else crop[:, ::-1], rng.randint(4))
    resized = Image.fromarray(np.ascontiguousarray(turned)).resize(
        (side, side), Image.Resampling.BILINEAR
    )
    return tinted(np.asarray(resized), random_tint(rng, 170))


def compose_scene(
    images: Bytes,
    labels: Bytes,
    candidates: Sequence[int],
    textures: Sequence[Bytes],
    side: int,
    rng: np.random.RandomState,
) -> Scene:
    """Paste objects on a texture, each in its own place.

    Args:
        images: Grey pictures of objects on black, shape ``(N, 28, 28)``.
        labels: Class of each, from 0; its category in the scene is one higher.
        candidates: Indices of the objects to use, at most one each.
        textures: Grey pictures to cut the background from.
        side: Height and width of the scene, in pixels.
        rng: Decides everything that is random.

    Returns:
        The scene; it holds at least one object if any candidate can be cut out.
    """
    canvas_HW3 = background(textures, side, rng)
    taken_HW = np.zeros((side, side), dtype=bool)
    wanted = rng.randint(MIN_OBJECTS, MAX_OBJECTS + 1)
    placed: list[PlacedObject] = []
    for index in candidates:
        if len(placed) == wanted:
            break
        side_px = rng.randint(MIN_SIDE_PX, MAX_SIDE_PX + 1)
        cutout = cut_out(images[index], side_px, int(labels[index]) + 1, int(index))
        if cutout is None:
            continue
        corner = free_corner(taken_HW, cutout.mask_hw.shape, rng)
        if corner is None:
            continue
        x, y = corner
        height, width = cutout.mask_hw.shape
        area = (slice(y, y + height), slice(x, x + width))
        # The darkest cloth stays visible: grey 0..255 becomes 48..255.
        grey = (48 + cutout.grey_hw.astype(np.uint16) * 207 // 255).astype(np.uint8)
        colour = tinted(grey, random_tint(rng, 90))
        canvas_HW3[area][cutout.mask_hw] = colour[cutout.mask_hw]
        taken_HW[area] = True
        placed.append(PlacedObject(cutout.category, cutout.index, x, y, cutout.mask_hw))
    return Scene(canvas_HW3, tuple(placed))


def free_corner(
    taken: Mask, shape: tuple[int, ...], rng: np.random.RandomState
) -> tuple[int, int] | None:
    """Find a random place for a rectangle, away from what is taken.

    Returns:
        Left and top of the place, or None if none was found.
    """
    height, width = shape
    for _ in range(TRIES):
        x = rng.randint(taken.shape[1] - width + 1)
        y = rng.randint(taken.shape[0] - height + 1)
        around = taken[
            max(0, y - GAP_PX) : y + height + GAP_PX,
            max(0, x - GAP_PX) : x + width + GAP_PX,
        ]
        if not around.any():
            return x, y
    return None
