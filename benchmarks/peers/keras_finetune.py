"""Fine-tuning all layers of a Keras Applications network, as the standard text writes it: `model.fit` on pictures in memory.

    python keras_finetune.py MobileNetV2 SIDE BATCH BATCHES

Random weights, which changes its answers and not its time. The first epoch compiles, and is not counted.
"""

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np

name, side, batch, batches = sys.argv[1], *map(int, sys.argv[2:5])
base = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(side, side, 3), pooling="avg")
base.trainable = True
model = keras.Sequential([base, keras.layers.Dense(1, activation="sigmoid")])
model.compile(optimizer=keras.optimizers.Adam(1e-5), loss="binary_crossentropy", metrics=["accuracy"])
rng = np.random.default_rng(0)
pixels = rng.normal(size=(batch * batches, side, side, 3)).astype(np.float32)
targets = rng.integers(0, 2, len(pixels)).astype(np.float32)
model.fit(pixels[: 2 * batch], targets[: 2 * batch], batch_size=batch, epochs=1, verbose=0)
started = time.perf_counter()
model.fit(pixels, targets, batch_size=batch, epochs=1, verbose=0)
print(json.dumps({"pictures": len(pixels), "seconds": time.perf_counter() - started}))
