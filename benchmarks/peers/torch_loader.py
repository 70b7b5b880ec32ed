"""Pictures to augmented float32 batches through torch's DataLoader with Pillow and OpenCV, as people write it: a peer of the loader.

    python torch_loader.py cats_dogs/train EPOCHS files     each picture is opened and decoded in each epoch
    python torch_loader.py cats_dogs/train EPOCHS memory    all pictures are decoded beforehand, and lie in memory

Two worker processes, kept between epochs. One warp for rotation and zoom, since OpenCV has a function for just that.
"""

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

SIZE = 180
BATCH_SIZE = 32
NUM_WORKERS = 2


class Pictures(Dataset):
    def __init__(self, folder, in_memory):
        self.paths = sorted(folder.glob("*/*.jpg"))
        self.classes = sorted({path.parent.name for path in self.paths})
        self.pictures = [self.load(path) for path in self.paths] if in_memory else None

    def __len__(self):
        return len(self.paths)

    def load(self, path):
        picture = np.array(Image.open(path).convert("RGB"))
        return cv2.resize(picture, (SIZE, SIZE))

    def __getitem__(self, index):
        picture = self.pictures[index] if self.pictures else self.load(self.paths[index])
        if np.random.rand() < 0.5:
            picture = cv2.flip(picture, 1)
        angle, zoom = np.random.uniform(-36, 36), np.random.uniform(0.8, 1.2)
        matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), angle, zoom)
        picture = cv2.warpAffine(picture, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)
        pixels = torch.from_numpy(picture).permute(2, 0, 1).float() / 255
        return pixels, self.classes.index(self.paths[index].parent.name)


def main():
    folder, epochs, where = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    started = time.perf_counter()
    pictures = Pictures(folder, where == "memory")
    loader = DataLoader(pictures, batch_size=BATCH_SIZE, shuffle=True, num_workers=NUM_WORKERS, persistent_workers=True)
    before = time.perf_counter() - started
    seconds, counts = [], []
    for _ in range(epochs):
        count = 0
        started = time.perf_counter()
        for pixels, _ in loader:
            assert pixels.dtype == torch.float32
            assert pixels.shape[1:] == (3, SIZE, SIZE)
            count += len(pixels)
        seconds.append(time.perf_counter() - started)
        counts.append(count)
    print(json.dumps({"before": before, "seconds": seconds, "pictures": counts}))


if __name__ == "__main__":
    main()
