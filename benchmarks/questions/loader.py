"""Pictures from the disk to augmented float32 batches: against tf.data and against torch's DataLoader, and against the machine's limits."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness.child import Failed, measured, our_environment, plain_environment
from benchmarks.harness.figures import Answer, Limit, Options, repeated
from benchmarks.harness.peers import PEERS, peer_python, peer_versions
from benchmarks.harness.places import NUM_PHOTOS, PHOTOS, shared, warm_the_disk

ASKS = (
    "How many pictures a second come to the model, flipped, turned and zoomed, as float32 batches of 180 px? Ours, Keras's "
    "image_dataset_from_directory with RandomFlip, RandomRotation and RandomZoom through tf.data, and torch's DataLoader with Pillow and "
    "OpenCV, in turn; cold (the first epoch, which decodes) and warm (a further one). And how far is ours from what the machine can do?"
)
REPEATS = 5
NEEDS = (PHOTOS,)

SIZE_PX, BATCH_SIZE = 180, 32  # the texts' own
_EPOCHS = 3  # the first is cold, and of the others the median counts
_SHORT = 2  # of those that take long, and of what is told beside
_COUNT = NUM_PHOTOS["train"]


@dataclass(frozen=True)
class Rates:
    """Pictures a second."""

    cold: float
    warm: float
    from_name: float  # from the folder's name to the end of the first epoch


def measure(options: Options) -> Answer:
    """Runs each loader in a process of its own, in turn.

    Raises:
        Skip: The photos are not here.
        Failed: A process did not end well, or did not see every picture.
    """
    photos = shared(PHOTOS) / "train"
    keras = peer_python("keras", chosen=options.peer_python, say=options.say)
    warm_the_disk([photos])
    rounds: list[dict[str, Any]] = []
    for number in range(options.repeats):
        rounds.append(_round(keras, photos))
        said = ", ".join(f"{name} {rates.cold:.0f} / {rates.warm:.0f}" for name, rates in rounds[-1].items() if isinstance(rates, Rates))
        options.say(f"round {number + 1} of {options.repeats}, pictures/s cold / warm: {said}")

    def ratio(name: str, when: str) -> list[float]:
        return [getattr(found["ours"], when) / getattr(found[name], when) for found in rounds]

    def rates(name: str, when: str) -> list[float]:
        return [getattr(found[name], when) for found in rounds]

    def limit(name: str) -> list[float]:
        return [found["limits"][name] for found in rounds]

    return Answer(
        figures=[
            repeated("warm: ours / Keras", ratio("keras", "warm"), "", limit=Limit(6, "at least"), of="rounds"),
            repeated("warm: ours / DataLoader", ratio("torch, files", "warm"), "", limit=Limit(3, "at least"), of="rounds"),
            repeated("warm: ours / DataLoader with all decoded in memory", ratio("torch, memory", "warm"), "", of="rounds"),
            repeated("cold: ours / Keras", ratio("keras", "cold"), "", limit=Limit(1.5, "at least"), of="rounds"),
            repeated("cold: ours / DataLoader", ratio("torch, files", "cold"), "", limit=Limit(1.5, "at least"), of="rounds"),
            repeated("from the folder's name on: ours / Keras", ratio("keras", "from_name"), "", of="rounds"),
            repeated("from the folder's name on: ours / DataLoader", ratio("torch, files", "from_name"), "", of="rounds"),
            repeated("ours, warm", rates("ours", "warm"), "pictures/s", of="rounds"),
            repeated("ours, cold", rates("ours", "cold"), "pictures/s", of="rounds"),
            repeated("ours, from the folder's name on", rates("ours", "from_name"), "pictures/s", of="rounds"),
            repeated("ours, from the folder's name on, the cache filled by an earlier process", limit("again"), "pictures/s", of="rounds"),
            repeated("Keras, warm", rates("keras", "warm"), "pictures/s", of="rounds"),
            repeated("Keras, cold", rates("keras", "cold"), "pictures/s", of="rounds"),
            repeated("DataLoader, cold", rates("torch, files", "cold"), "pictures/s", of="rounds"),
            repeated("DataLoader, warm", rates("torch, files", "warm"), "pictures/s", of="rounds"),
            repeated("DataLoader with all decoded in memory, warm", rates("torch, memory", "warm"), "pictures/s", of="rounds"),
            repeated("limit: the augmentation alone, which is one warp", limit("augment"), "pictures/s", of="rounds"),
            repeated("the same turns and zooms by cv2.warpAffine alone", limit("warp"), "pictures/s", of="rounds"),
            repeated("limit: read, decode and resize alone", limit("decode"), "pictures/s", of="rounds"),
            repeated("limit: writing the floats alone", limit("copy"), "pictures/s", of="rounds"),
            repeated(
                "ours, warm / the augmentation alone",
                [found["ours"].warm / found["limits"]["augment"] for found in rounds],
                "",
                of="rounds",
            ),
            repeated("ours, cold / decoding alone", [found["ours"].cold / found["limits"]["decode"] for found in rounds], "", of="rounds"),
        ],
        notes=[
            f"{_COUNT:,} photos of cats and dogs, batches of {BATCH_SIZE}; all processes have the same cores. Imports are not counted; what "
            "comes before the first epoch (listing; for us also hashing) is counted where it says from the folder's name on. Our first epoch also "
            "keeps the decoded pictures on disk, for later runs.",
            "The peers are `benchmarks/peers/keras_loader.py` (decoded pictures cached in memory) and `benchmarks/peers/torch_loader.py` "
            "(two workers). Their floats are 0 to 255 and 0 to 1; ours are normalised for the network.",
            f"Warm is a further epoch of the same process: the median of {_EPOCHS - 1} of ours and of the DataLoader from files. The limits are measured in our process, with as many threads.",
        ],
        versions=_versions(keras),
    )


def _round(keras: str, photos: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        found: dict[str, Any] = {"keras": _peer([keras, str(PEERS / "keras_loader.py")], photos, _SHORT, folder)}
        for where, num_epochs in (("files", _EPOCHS), ("memory", _SHORT)):
            found[f"torch, {where}"] = _peer([sys.executable, str(PEERS / "torch_loader.py"), where], photos, num_epochs, folder)
        found["ours"] = _rates(_ours("epochs", photos, folder, _EPOCHS), _EPOCHS)
        again = _rates(_ours("epochs", photos, folder, _SHORT), _SHORT).from_name
        found["limits"] = _ours("limits", photos, folder) | {"again": again}
        return found


def _peer(words: list[str], photos: Path, num_epochs: int, folder: Path) -> Rates:
    python, script, *how = words
    ended = measured([python, script, str(photos), str(num_epochs), *how], environment=plain_environment(), folder=folder)
    return _rates(json.loads(ended.output.splitlines()[-1]), num_epochs)


def _rates(found: dict[str, Any], num_epochs: int) -> Rates:
    if found["pictures"] != [_COUNT] * num_epochs:
        raise Failed(f"not every picture was seen in every epoch: {found['pictures']}")
    first, *further = found["seconds"]
    return Rates(_COUNT / first, _COUNT / median(further), _COUNT / (found["before"] + first))


def _ours(what: str, photos: Path, folder: Path, *numbers: int) -> dict[str, Any]:
    words = [sys.executable, "-m", "benchmarks.questions.loader", what, str(photos), *map(str, numbers)]
    ended = measured(words, environment=our_environment(folder / "cache"), folder=folder)
    found: dict[str, Any] = json.loads(ended.output.splitlines()[-1])
    return found


def _versions(keras: str) -> dict[str, str]:
    from fovea.versions import versions

    ours = versions("numpy", "opencv-python-headless", "pillow", "simplejpeg", "torch")
    return ours | peer_versions(keras, ["keras", "tensorflow-cpu"])


# ---- what the measured processes of ours do


def epochs(photos: str, num_epochs: str) -> dict[str, Any]:
    """What comes before, and some epochs."""
    import torch

    from fovea.data import open_source
    from fovea.loading.scan import scan
    from fovea.transforms import create_augmentation

    _ = create_augmentation("light")  # imports, which are not counted for the peers either
    seconds, pictures = [], []
    started = time.perf_counter()
    with open_source(photos) as source:
        seen = scan(source)
        loader = light_loader(source, seen.items, seen.hashes)
        before = time.perf_counter() - started
        for epoch in range(int(num_epochs)):
            count = 0
            started = time.perf_counter()
            for pixels, _ in loader.epoch(epoch):
                ready = torch.from_numpy(pixels).permute(0, 3, 1, 2)
                if ready.dtype != torch.float32 or ready.shape[1:] != (3, SIZE_PX, SIZE_PX):
                    raise ValueError(f"{ready.dtype} {tuple(ready.shape)}")
                count += len(ready)
            seconds.append(time.perf_counter() - started)
            pictures.append(count)
    return {"before": before, "seconds": seconds, "pictures": pictures}


def light_loader(source: Any, items: Any, hashes: Any) -> Any:
    """Our loader as a training uses it, with the preset light."""
    import numpy as np

    from fovea.loading import loader, margin, pixel_store, scaling, stored
    from fovea.transforms import create_augmentation
    from fovea.transforms.preprocessing import square

    pictures = stored.StoredPictures(pixel_store.PixelStore(), source, items, hashes, preprocessing=margin.Margin(square(SIZE_PX)))
    rows = np.arange(len(items))
    return loader.Loader(
        pictures, rows, rows, batch_size=BATCH_SIZE, size_px=SIZE_PX, augmentation=create_augmentation("light"),
        scaling=scaling.Scaling.of([127.5] * 3, [1 / 127.5] * 3), shuffle=True, seed=0,
    )  # fmt: skip


def limits(photos: str) -> dict[str, float]:
    """Pictures a second of the slowest single steps, with nothing around them. Uses what `epochs` has kept."""
    import cv2
    import numpy as np

    from fovea.data import decode, open_source
    from fovea.loading.parallel import chunks, map_ordered
    from fovea.loading.scan import scan
    from fovea.transforms.op import chance_of

    with open_source(photos) as source:
        seen = scan(source)
        loader = light_loader(source, seen.items, seen.hashes)
        pictures, augmentation = loader.pictures, loader.augmentation
        way = pictures.preprocessing

        def decode_one(index: int) -> None:
            item = seen.items[index]
            way.apply(decode(source.read(item), path=item.path, min_side_px=way.min_side_px).pixels)

        kept = [pictures.read(index) for index in range(_COUNT)]
        rng, side = np.random.default_rng(0), way.size_px
        matrices = []
        for angle, zoom in zip(rng.uniform(-36, 36, _COUNT), rng.uniform(0.8, 1.2, _COUNT), strict=True):
            matrix = cv2.getRotationMatrix2D((side / 2, side / 2), angle, zoom)
            matrix[:, 2] += (SIZE_PX - side) / 2
            matrices.append(matrix)
        out = np.empty((_COUNT, SIZE_PX, SIZE_PX, 3), np.uint8)
        floats = np.empty((BATCH_SIZE, SIZE_PX, SIZE_PX, 3), np.float32)
        model = np.ones((SIZE_PX, SIZE_PX, 3), np.float32)

        def augment_one(index: int) -> None:
            augmentation.pixels(kept[index], chance_of(0, 0, index), SIZE_PX)

        def warp_one(index: int) -> None:
            cv2.warpAffine(kept[index], matrices[index], (SIZE_PX, SIZE_PX), dst=out[index], borderMode=cv2.BORDER_REFLECT)

        def copy_one(index: int) -> None:
            np.copyto(floats[index % BATCH_SIZE], model)

        def rate(work: Callable[[int], None]) -> float:
            best = 0.0
            for _ in range(2):  # the first touches memory that nobody has touched yet
                started = time.perf_counter()
                for _ in map_ordered(lambda turn: [work(index) for index in turn], chunks(_COUNT, 8)):
                    pass
                best = max(best, _COUNT / (time.perf_counter() - started))
            return best

        return {"decode": rate(decode_one), "augment": rate(augment_one), "warp": rate(warp_one), "copy": rate(copy_one)}


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    print(json.dumps(epochs(*words) if what == "epochs" else limits(*words)))
