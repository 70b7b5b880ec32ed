"""A network of Keras Applications with random weights: its file, a picture, and what it answers (see README.md): the peer of `parity`.

    python parity_keras.py NAME SIDE_PX FOLDER [OPTIONS]

NAME is Keras's (ResNet50), OPTIONS are its own, as JSON. Writes FOLDER/NAME.weights.h5 and FOLDER/NAME.npz, and prints one JSON object.

All variables are moved away from where they begin (ones, zeros), so that a gamma taken for a variance would be seen.
"""

import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np

name, side, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
options = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
network = getattr(keras.applications, name)(weights=None, classifier_activation=None, input_shape=(side, side, 3), **options)

norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
bias = 0.2 if norms else 0.02  # without batch norm, biases soon drown what comes from the picture
for layer in network.layers:
    if isinstance(layer, keras.layers.Normalization):  # of pixels: what it holds is a count and statistics, not weights
        continue
    for variable in layer.weights:
        if len(variable.shape) == 1:
            size = tuple(variable.shape)
            variable.assign(rng.uniform(0.7, 1.3, size) if variable.name == "gamma" else rng.normal(0, bias, size))
        elif not norms:
            variable.assign(np.asarray(variable) * 2**0.5)  # Keras's first weights keep the size of a map only without relu

coarse = rng.normal(0, 2, (2, 5, 5, 3)).repeat(side // 5 + 1, axis=1).repeat(side // 5 + 1, axis=2)[:, :side, :side]  # so that they differ
pixels = (coarse + rng.normal(0, 0.5, (2, side, side, 3))).astype(np.float32)

# EfficientNet divides levels by 255 itself, and cannot be made without that: what it is fed is not what its layers see.
fed = pixels * 255 if any(isinstance(layer, keras.layers.Rescaling) for layer in network.layers) else pixels

# Batch norm takes the statistics of these pictures, and then some others near them: random weights would otherwise shrink
# or blow up what passes through a hundred layers, and the answer, the same for any picture, would hide faults.
for layer in norms:
    layer.momentum = 0.0
network(fed, training=True)
for layer in norms:
    variance = np.asarray(layer.moving_variance)
    layer.moving_mean.assign(np.asarray(layer.moving_mean) + rng.normal(0, 0.2, variance.shape) * np.sqrt(variance))
    layer.moving_variance.assign(variance * rng.uniform(0.7, 1.3, variance.shape))

logits = np.asarray(network(fed, training=False))
network.save_weights(folder / f"{name}.weights.h5")
np.savez(folder / f"{name}.npz", pixels=pixels.transpose(0, 3, 1, 2), logits=logits.reshape(len(logits), -1))
print(
    json.dumps(
        {
            "num_parameters": sum(int(np.prod(v.shape)) for v in network.trainable_weights),
            "apart": float(np.abs(logits[0] - logits[1]).max() / np.abs(logits).max()),
        }
    )
)
