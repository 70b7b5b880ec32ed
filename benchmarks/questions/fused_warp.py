"""One warp in place of several: the same places, a better picture, in less time; and how fast `light` is on one thread."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness.figures import Answer, Limit, Options, repeated
from benchmarks.harness.places import PHOTOS, ROOT, shared

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fovea.transforms.steps import Step, Warp
    from fovea.types import Pixels

ASKS = (
    "Rotation, zoom, shift and shear of one draw, as one warp and one after the other: how far apart do they put a painted grid, "
    "which is nearer to the true picture (a photo of four times the resolution, moved and then averaged), and what does each cost? "
    "And how many pictures a second does `light` make at 180 px from 205 px (what is kept for augmentation) on one thread?"
)
REPEATS = 5
NEEDS = (PHOTOS,)

_PICTURE = ROOT / "benchmarks" / "pictures" / "fused_warp.png"
_SIDE_PX, _TIMES, _NUM_DRAWS, _NUM_PHOTOS = 160, 4, 40, 40
_KEPT_PX, _LIGHT_PX, _NUM_LIGHT = 205, 180, 600
_PLAIN_RATE = 1700  # pictures/s: half of the 3,416 that a plain script reaches on two threads (the design's baselines)


def measure(options: Options) -> Answer:
    """Compares places and pictures over many draws, times both ways in turn, and writes the picture that shows both.

    Raises:
        Skip: The photos are not here.
    """
    from fovea.transforms.fuse import carry_out, fuse
    from fovea.versions import versions

    fine = _photos(_SIDE_PX * _TIMES)
    coarse = [_averaged(photo) for photo in fine]
    size = (_SIDE_PX, _SIDE_PX)
    draws = [_draw(seed) for seed in range(_NUM_DRAWS)]
    fused = [fuse(steps, size) for steps in draws]
    off = [value for steps, one in zip(draws, fused, strict=True) for value in _apart(steps, one)]
    together, apart = list[float](), list[float]()
    for index, (steps, one) in enumerate(zip(draws, fused, strict=True)):
        photo = index % len(fine)
        truth = _truth(fine[photo], one)
        together.append(_psnr(carry_out(one, coarse[photo]), truth))
        apart.append(_psnr(carry_out(steps, coarse[photo]), truth))
    times = [_rates(carry_out, [fused, draws], coarse) for _ in range(options.repeats)]
    light = [_light_rate(coarse) for _ in range(options.repeats)]
    _PICTURE.parent.mkdir(exist_ok=True)
    _write_picture(_PICTURE)
    options.say(f"the picture is {_PICTURE.relative_to(ROOT)}")
    return Answer(
        figures=[
            repeated("painted grid: fused and one by one apart, px", off, "px", of="points", limit=Limit(0.5)),
            repeated("one warp, likeness to the truth", together, "dB", of="draws"),
            repeated("one by one, likeness to the truth", apart, "dB", of="draws"),
            repeated(
                "gain of one warp", [a - b for a, b in zip(together, apart, strict=True)], "dB", of="draws", limit=Limit(1, "at least")
            ),
            repeated("one warp, one thread", [one for one, _ in times], "pictures/s", of="rounds"),
            repeated("one by one, one thread", [several for _, several in times], "pictures/s", of="rounds"),
            repeated("`light` at 180 px, one thread", light, "pictures/s", of="rounds", limit=Limit(_PLAIN_RATE, "at least")),
        ],
        notes=[
            f"{_NUM_DRAWS} draws of rotation (a twentieth of a turn), zoom (to 0.6 to 0.7, so that nothing is filled), shift and shear, of "
            f"{len(fine)} photos enlarged to {_SIDE_PX * _TIMES} px and averaged to {_SIDE_PX} px. Likeness is the peak signal-to-noise ratio.",
            "One thread calls; OpenCV may spread a single call over its own.",
        ],
        versions=versions("opencv-python-headless", "numpy"),
    )


def _draw(seed: int, size_px: int = _SIDE_PX) -> list["Step"]:
    """One draw of four geometric operations that never look outside the picture."""
    import numpy as np

    from fovea.transforms import Augmentation, create_op

    ops = (
        create_op("rotation", turn_range=(-0.05, 0.05)),
        create_op("zoom", part_range=(0.6, 0.7)),
        create_op("shift", x_range=(-0.03, 0.03), y_range=(-0.03, 0.03)),
        create_op("shear", x_range=(-0.01, 0.01)),
    )
    return Augmentation(ops).draw(np.random.default_rng(seed), (size_px, size_px))


def _photos(side_px: int) -> list["Pixels"]:
    from fovea.data import decode, open_source
    from fovea.transforms.preprocessing import square

    with open_source(shared(PHOTOS)) as source:
        items = source.items[:: max(1, len(source.items) // _NUM_PHOTOS)][:_NUM_PHOTOS]
        return [square(side_px).apply(decode(source.read(item), path=item.path).pixels) for item in items]


def _averaged(pixels: "Pixels") -> "Pixels":
    """Each square of `_TIMES` pixels as one."""
    import numpy as np

    height, width, _ = pixels.shape
    blocks = pixels.reshape(height // _TIMES, _TIMES, width // _TIMES, _TIMES, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def _truth(fine: "Pixels", fused: Sequence["Step"]) -> "Pixels":
    """The fine photo moved by the same warp, at its own resolution, and averaged afterwards."""
    import numpy as np

    from fovea.transforms.fuse import warp_pixels
    from fovea.transforms.steps import Warp

    warp = _only_warp(fused)
    finer = np.diag([_TIMES, _TIMES, 1.0])
    side = warp.size_px[0] * _TIMES
    return _averaged(warp_pixels(fine, Warp(finer @ warp.matrix @ np.linalg.inv(finer), (side, side), warp.fill)))


def _only_warp(steps: Sequence["Step"]) -> "Warp":
    from fovea.transforms.steps import Warp

    [warp] = steps
    if not isinstance(warp, Warp):
        raise TypeError(f"one warp was expected, not {warp}")
    return warp


def _psnr(pixels: "Pixels", truth: "Pixels") -> float:
    import numpy as np

    inner = slice(4, -4)
    return float(10 * np.log10(255**2 / np.mean((pixels[inner, inner].astype(float) - truth[inner, inner]) ** 2)))


def _apart(steps: Sequence["Step"], fused: Sequence["Step"]) -> list[float]:
    """How far apart the two ways put the spots of a painted grid, in pixels."""
    import numpy as np

    from fovea.transforms.fuse import carry_out

    rows, columns = np.mgrid[:_SIDE_PX, :_SIDE_PX] + 0.5
    found = []
    for x in np.linspace(0.3, 0.7, 3) * _SIDE_PX:
        layers = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 12.5) for y in np.linspace(0.3, 0.7, 3) * _SIDE_PX]
        canvas = np.rint(255 * np.stack(layers, axis=2)).astype(np.uint8)
        one, several = (_centres(carry_out(way, canvas)) for way in (fused, steps))
        found += np.abs(one - several).max(axis=1)[~np.isnan(one + several).any(axis=1)].tolist()
    return found


def _centres(canvas: "Pixels") -> "npt.NDArray[np.float64]":
    """(3, 2): the centre of each channel's spot, NaN where it touches the edge."""
    import numpy as np

    found = np.full((3, 2), np.nan)
    for channel in range(3):
        rows, columns = np.nonzero(canvas[:, :, channel] >= 100)
        if len(rows) and min(rows.min(), columns.min()) > 0 and max(rows.max(), columns.max()) < canvas.shape[0] - 1:
            weights = canvas[rows, columns, channel].astype(float)
            found[channel] = columns @ weights / weights.sum(), rows @ weights / weights.sum()
    return found


def _rates(
    do: Callable[[Sequence["Step"], "Pixels"], object], ways: Sequence[Sequence[Sequence["Step"]]], photos: Sequence["Pixels"]
) -> tuple[float, float]:
    """Pictures a second of each way, a round of each in turn."""
    rates = []
    for way in ways:
        started = time.perf_counter()
        for turn in range(5):
            for index, steps in enumerate(way):
                do(steps, photos[(index + turn) % len(photos)])
        rates.append(5 * len(way) / (time.perf_counter() - started))
    return rates[0], rates[1]


def _light_rate(photos: Sequence["Pixels"]) -> float:

    from fovea.transforms import create_augmentation
    from fovea.transforms.op import chance_of
    from fovea.transforms.preprocessing import square

    kept = [square(_KEPT_PX).apply(photo) for photo in photos]
    light = create_augmentation("light")
    for index in range(50):
        light.pixels(kept[index % len(kept)], chance_of(0, 0, index), _LIGHT_PX)
    started = time.perf_counter()
    for index in range(_NUM_LIGHT):
        light.pixels(kept[index % len(kept)], chance_of(0, 1, index), _LIGHT_PX)
    return _NUM_LIGHT / (time.perf_counter() - started)


def _write_picture(path: Path) -> None:
    """The truth, one warp, and one by one, side by side and four times enlarged: a painted scene, of no photo."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    from fovea.transforms.fuse import carry_out, fuse

    fine = _scene(_SIDE_PX * _TIMES)
    steps = _draw(7)
    fused = fuse(steps, (_SIDE_PX, _SIDE_PX))
    coarse = _averaged(fine)
    truth, one, several = _truth(fine, fused), carry_out(fused, coarse), carry_out(steps, coarse)
    shown = slice(40, 130)
    gap, tall, below = 12, 90 * 4, 26
    canvas = Image.new("RGB", (3 * tall + 4 * gap, tall + 2 * gap + below), (255, 255, 255))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(16)
    words = ("the truth", f"one warp: {_psnr(one, truth):.1f} dB", f"four warps, one by one: {_psnr(several, truth):.1f} dB")
    for index, (pixels, word) in enumerate(zip((truth, one, several), words, strict=True)):
        part = np.repeat(np.repeat(pixels[shown, shown], 4, axis=0), 4, axis=1)
        canvas.paste(Image.fromarray(part), (gap + index * (tall + gap), gap))
        pen.text((gap + index * (tall + gap), gap + tall + 4), word, fill=(40, 40, 40), font=font)
    canvas.quantize(64).save(path, optimize=True)  # few colours, a third of the bytes


def _scene(side_px: int) -> "Pixels":
    """Rays, rings, letters and a chequerboard: what interpolation blurs first."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    rows, columns = (np.mgrid[:side_px, :side_px] + 0.5) / side_px - 0.5
    angle, radius = np.arctan2(rows, columns), np.hypot(rows, columns)
    rays = 128 + 120 * np.sign(np.sin(40 * angle))
    rings = 128 + 120 * np.sin(180 * radius)
    board = 255 * ((np.floor(rows * 40) + np.floor(columns * 40)) % 2)
    scene = np.where(columns < 0, np.where(rows < 0, rays, rings), np.where(rows < 0, board, 235.0))
    canvas = Image.fromarray(np.repeat(scene.astype(np.uint8)[:, :, None], 3, axis=2))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(side_px // 20)
    for line, word in enumerate(("one warp", "keeps what", "several", "would blur", "Fovea")):
        pen.text((side_px * 0.53, side_px * (0.54 + 0.06 * line)), word, fill=(20, 20, 160), font=font)
    return np.asarray(canvas)
