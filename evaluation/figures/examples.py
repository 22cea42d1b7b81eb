"""Compose the scenes among the example images: `*.mask.png`, the images beside them, and `scenes.json`.

    python -m evaluation.figures.examples STAMPS_DIR

This is their source, which the licence of the stamps asks for; the other examples are whole photographs. A scene has
two or three objects whose positions are known. Its mask says which pixel belongs to which object (0 = background, 1..n
= the objects in the order of `scenes.json`), so a test can ask whether each Grad-CAM falls on its own object. The same
materials and library versions give the same files.

The cut-outs are stamps of the Debian package `tuxpaint-stamps-default` (2022.06.04-1): unpack it with
`dpkg-deb --extract`; STAMPS_DIR is its `usr/share/tuxpaint/stamps`. Textures are those of scikit-image. Origins and
licences: assets/README.md.
"""

import argparse
import json
import tomllib
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import numpy as np
import skimage
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import gaussian_filter, map_coordinates

from evaluation.figures.panels import ASSETS

Colour = tuple[int, int, int]  # R, G, B, 0 to 255

OUT = ASSETS / "examples"
TEXTURES = Path(skimage.__file__).parent / "data"
SCENES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


def noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: tuple[float, float], octaves: int = 6
) -> np.ndarray:
    """Return smooth random clouds from 0 to 1, with about `cells` lumps down and across."""
    total = np.zeros(shape)
    for octave in range(octaves):
        grid = rng.random([max(2, round(n * 2**octave)) for n in cells]).astype(np.float32)
        smooth = Image.fromarray(grid).resize(shape[::-1], Image.Resampling.BICUBIC)
        total += np.asarray(smooth) / 2**octave
    low, high = np.percentile(total, (1, 99))
    return np.clip((total - low) / (high - low), 0, 1)


def mix(dark: tuple | np.ndarray, light: tuple | np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Return colours (H, W, 3) between `dark` and `light`, by `amount` (H, W) from 0 to 1."""
    amount = amount[..., None]
    return np.asarray(dark) * (1 - amount) + np.asarray(light) * amount


def floor(name: str, shape: tuple[int, int], fineness: float) -> np.ndarray:
    """Return a texture laid flat and seen in perspective from the first row (the horizon) down, about 0 to 1."""
    height, width = shape
    depth = height / (np.arange(height) + 1.5)
    across = (np.arange(width) - width / 2)[None, :] * depth[:, None] * fineness
    along = np.broadcast_to(depth[:, None] * height * fineness * 0.8, shape)
    texture = Image.open(TEXTURES / name).convert("L")
    view = np.zeros(shape)
    level = np.clip(np.round(np.log2(depth * depth * fineness * 0.5)), 0, 6)
    for step in range(7):
        small = np.asarray(texture.reduce(2**step), dtype=float) / 255
        rows = level == step
        # Turned, so that the seams where the texture is mirrored run in no direction that the eye looks for.
        u, v = along[rows], across[rows]
        places = np.stack([0.8 * u - 0.6 * v, 0.6 * u + 0.8 * v + 131]) / 2**step
        view[rows] = map_coordinates(small, places, order=1, mode="mirror")
    low, high = np.percentile(view, (2, 98))
    return np.clip((view - low) / (high - low), 0, 1)


def landscape(
    size: tuple[int, int],
    rng: np.random.Generator,
    horizon: float,
    sky: tuple[Colour, Colour],
    hills: tuple[Colour, Colour],
    ground: list,
    water: float | None = None,
) -> np.ndarray:
    """Paint sky with clouds, far and near hills, a ground in perspective, and maybe a lake down to `water`."""
    width, height = size
    line = round(horizon * height)
    down = np.broadcast_to(np.linspace(0, 1, line)[:, None], (line, width))
    picture = np.zeros((height, width, 3))
    clouds = np.clip(noise(rng, (line, width), (3, 2.5)) * 2.2 - 1.05, 0, 1) ** 1.3
    picture[:line] = mix(mix(*sky, down), (250, 250, 250), 0.85 * clouds * (1 - 0.5 * down))

    for colour, top, rough in zip(hills, (0.10, 0.055), (3, 7), strict=True):
        ridge = line - height * top * (0.25 + 0.75 * noise(rng, (2, width), (2, rough), 5)[0])
        inside = np.clip(np.arange(line)[:, None] - ridge[None, :], 0, 1)
        leaves = noise(rng, (line, width), (line / 8, width / 8), 3)
        shade = np.asarray(colour) * (0.8 + 0.4 * leaves[..., None] * (top < 0.1) + 0.2 * (top > 0.1))
        picture[:line] = picture[:line] * (1 - inside[..., None]) + shade * inside[..., None]
    picture[:line] = gaussian_filter(picture[:line], (1.3, 1.3, 0))

    shape = (height - line, width)
    near = np.broadcast_to(np.linspace(0, 1, shape[0])[:, None], shape)
    for start, texture, fineness, dark, light in ground:
        patches = noise(rng, shape, (10, 4), 4)
        bright = 0.5 + (floor(texture, shape, fineness) - 0.5) * (0.35 + 0.65 * near) + 0.35 * (patches - 0.5)
        land = mix(dark, light, np.clip(bright, 0, 1))
        far = np.asarray(light) * 0.75 + np.asarray(sky[1]) * 0.25
        land = land + (far - land) * np.clip(0.45 - 2.2 * near, 0, 1)[..., None]
        edge = np.clip((near - start) * shape[0] + 3 * patches, 0, 1) if start else np.ones(shape)
        picture[line:] = picture[line:] * (1 - edge[..., None]) + land * edge[..., None]
    if water is not None:
        picture = flood(picture, rng, line, round(water * height))
    return picture


def flood(picture: np.ndarray, rng: np.random.Generator, line: int, bank: int) -> np.ndarray:
    """Put a lake between the horizon and the bank: the mirrored sky and hills, rippled."""
    width = picture.shape[1]
    depth = bank + 24 - line
    rows = np.clip(line - 1 - np.arange(depth) * line / depth, 0, line - 1)
    ripples = noise(rng, (depth, width), (depth / 5, width / 90), 3) - 0.5
    sway = rows[:, None] + ripples * np.linspace(3, 26, depth)[:, None]
    places = [np.clip(sway, 0, line - 1), np.broadcast_to(np.arange(width), sway.shape)]
    lake = np.stack([map_coordinates(picture[:line, :, c], places, order=1) for c in range(3)], -1)
    lake = lake * (0.80 + 0.18 * ripples[..., None])
    edge = bank - line + 16 * (noise(rng, (2, width), (2, 4), 5)[0] - 0.5)
    wet = np.clip((edge[None, :] - np.arange(depth)[:, None]) / 3, 0, 1)
    damp = np.clip((edge[None, :] + 14 - np.arange(depth)[:, None]) / 14, 0, 1)
    shore = picture[line : line + depth] * (1 - 0.4 * damp[..., None])
    picture[line : line + depth] = mix(shore, lake, wet)
    return picture


def table(size: tuple[int, int], rng: np.random.Generator, dark: tuple, light: tuple, planks: int) -> np.ndarray:
    """Paint wooden planks seen from above."""
    width, height = size
    picture = np.zeros((height, width, 3))
    edges = np.linspace(0, height, planks + 1).round().astype(int)
    for top, bottom in pairwise(edges):
        shape = (bottom - top, width)
        rings = noise(rng, shape, (2, 1.2), 3) * 7 + noise(rng, shape, (18, 1), 3) * 1.2
        grain = 0.5 + 0.22 * np.sin(2 * np.pi * rings) + 0.5 * (noise(rng, shape, (shape[0] / 2.5, 6), 2) - 0.5)
        tone = 0.9 + 0.2 * rng.random()
        gap = np.minimum(np.arange(shape[0]), np.arange(shape[0])[::-1])[:, None, None]
        picture[top:bottom] = mix(dark, light, np.clip(grain, 0, 1)) * tone * np.clip(0.45 + gap / 4, 0, 1)
    light_falls = np.linspace(1.12, 0.85, width)[None, :, None] * np.linspace(1.06, 0.92, height)[:, None, None]
    return picture * light_falls


def cut_out(path: Path, longest: int, mirror: bool) -> Image.Image:
    """Return a stamp without its empty border, scaled so that its longest side is `longest`, maybe mirrored."""
    stamp = Image.open(path).convert("RGBA")
    stamp = stamp.crop(stamp.getchannel("A").point(lambda a: 255 * (a > 40)).getbbox())
    scale = longest / max(stamp.size)
    # With its colours multiplied by alpha, a scaled stamp takes no fringe from the pixels hidden outside it.
    stamp = stamp.convert("RGBa").resize([round(n * scale) for n in stamp.size], Image.Resampling.LANCZOS)
    if scale > 1.2:
        stamp = stamp.filter(ImageFilter.UnsharpMask(1.2, 60, 0))
    stamp = stamp.convert("RGBA")
    return stamp.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else stamp


def alpha_at(alpha: Image.Image, size: tuple[int, int], corner: tuple[float, float]) -> np.ndarray:
    """Return an alpha channel placed in an empty picture of `size`, from 0 to 1."""
    canvas = Image.new("L", size)
    canvas.paste(alpha, (round(corner[0]), round(corner[1])))
    return np.asarray(canvas, dtype=float) / 255


def feet(alpha: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and rows of the lowest opaque pixels, where they lie near the bottom: what touches the ground."""
    opaque = np.asarray(alpha) > 128
    lowest = opaque.shape[0] - 1 - opaque[::-1].argmax(axis=0)
    columns = np.flatnonzero(opaque.any(axis=0) & (lowest > 0.87 * opaque.shape[0]))
    return columns, lowest[columns]


def shadow(alpha: Image.Image, size: tuple[int, int], corner: tuple[int, int], standing: bool) -> np.ndarray:
    """Return how much light reaches the background, 0 to 1: under the feet of what stands, beside what lies."""
    left, top = corner
    if not standing:
        wide = gaussian_filter(alpha_at(alpha, size, (left + 9, top + 11)), 9)
        return (1 - 0.5 * wide) * (1 - 0.45 * gaussian_filter(alpha_at(alpha, size, (left + 2, top + 3)), 3))
    flat = alpha.resize((alpha.width, max(6, alpha.height // 7)), Image.Resampling.BOX)
    foot = top + alpha.height
    cast = gaussian_filter(alpha_at(flat, size, (left + 6, foot - flat.height * 0.62)), (4, 8))
    columns, rows = feet(alpha)
    tips = np.zeros(size[::-1])
    for lift in range(6):
        y, x = top + rows - lift, left + columns
        inside = (y >= 0) & (y < size[1]) & (x >= 0) & (x < size[0])
        tips[y[inside], x[inside]] = 1
    contact = gaussian_filter(tips, (3, 6))
    return (1 - 0.55 * cast) * (1 - 0.7 * contact)


def blades(picture: Image.Image, rng: np.random.Generator, points: np.ndarray, height: float) -> None:
    """Draw grass in front of each foot (x, y), in the colours of the ground there."""
    sheet = Image.new("RGBA", (picture.width * 3, picture.height * 3))
    draw = ImageDraw.Draw(sheet)
    ground = np.asarray(picture)
    for x, y in np.repeat(points, 4, axis=0) + rng.normal(0, (5, 1.5), (4 * len(points), 2)):
        y += 4
        column, line = np.clip((x, y + 12), 0, (picture.width - 1, picture.height - 1)).astype(int)
        shade, lean = rng.uniform(0.8, 1.35), rng.normal(0, 3)
        fill = (*(min(255, int(c * shade)) for c in ground[line, column]), 235)
        tip = (x + lean, y - height * rng.uniform(5, 14))
        draw.polygon([(3 * a, 3 * b) for a, b in ((x - 0.9, y), (x + 0.9, y), tip)], fill)
    sheet = sheet.convert("RGBa").resize(picture.size, Image.Resampling.BOX).convert("RGBA")
    picture.paste(sheet, (0, 0), sheet)


def compose(
    stamps: Path, name: str, size: tuple[int, int], background: str, objects: list
) -> tuple[Image.Image, Image.Image]:
    """Return a scene and its mask."""
    rng = np.random.default_rng(crc32(name.encode()))
    settings = dict(SCENES["backgrounds"][background])
    grass = settings.pop("blades", 0)
    outdoors = "sky" in settings
    paint = landscape if outdoors else table
    canvas = np.clip(paint(size, rng, **settings), 0, 255)
    mask = np.zeros(size[::-1], dtype=np.uint8)
    for index, (_, file, longest, (x, y), mirror) in enumerate(objects, 1):
        stamp = cut_out(stamps / file, longest, mirror)
        alpha = stamp.getchannel("A")
        left = round(x * size[0] - stamp.width / 2)
        top = round(y * size[1] - stamp.height * (1 if outdoors else 0.5))
        standing = outdoors and y > settings["horizon"]
        if standing or not outdoors:
            canvas = canvas * shadow(alpha, size, (left, top), standing)[..., None]
        scene = Image.fromarray(canvas.astype(np.uint8))
        scene.paste(stamp, (left, top), stamp)
        if standing and grass:
            blades(scene, rng, np.add(np.stack(feet(alpha), 1), (left, top)), grass)
        canvas = np.asarray(scene, dtype=float)
        mask[alpha_at(alpha, size, (left, top)) > 0.5] = index
    canvas = gaussian_filter(canvas, (0.45, 0.45, 0)) + rng.normal(0, 2.5, canvas.shape[:2])[..., None]
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)), Image.fromarray(mask)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stamps", type=Path, metavar="STAMPS_DIR", help="the folder of Tux Paint's stamps")
    stamps = parser.parse_args().stamps
    listing = {}
    for name, scene in SCENES["scenes"].items():
        picture, mask = compose(stamps, name, **scene)
        picture.save(OUT / f"{name}.jpg", quality=90, optimize=True)
        mask.save(OUT / f"{name}.mask.png", optimize=True)
        listing[f"{name}.jpg"] = {"mask": f"{name}.mask.png", "objects": [kind for kind, *_ in scene["objects"]]}
    (OUT / "scenes.json").write_text(json.dumps(listing, indent=2) + "\n")


if __name__ == "__main__":
    main()
