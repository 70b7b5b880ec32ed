"""Pictures to augmented float32 batches through tf.data, as the standard text writes it (see README.md): a peer of the loader.

    python keras_loader.py cats_dogs/train EPOCHS

The text: image_dataset_from_directory at 180 px, and RandomFlip("horizontal"), RandomRotation(0.1) and RandomZoom(0.2) mapped over its
batches. Decoded pictures are cached in memory, as the guide to tf.data advises, so that only the first epoch decodes.
"""

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import tensorflow as tf
from keras import layers

IMAGE_SIZE = (180, 180)
BATCH_SIZE = 32

folder, epochs = sys.argv[1], int(sys.argv[2])

started = time.perf_counter()
data_augmentation = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.2)])
dataset = keras.utils.image_dataset_from_directory(folder, image_size=IMAGE_SIZE, batch_size=BATCH_SIZE)
dataset = dataset.cache()
dataset = dataset.map(lambda images, labels: (data_augmentation(images, training=True), labels), num_parallel_calls=tf.data.AUTOTUNE)
dataset = dataset.prefetch(tf.data.AUTOTUNE)

before = time.perf_counter() - started
seconds, pictures = [], []
for _ in range(epochs):
    count = 0
    started = time.perf_counter()
    for images, _ in dataset:
        assert images.dtype == tf.float32
        assert images.shape[1:] == (*IMAGE_SIZE, 3)
        count += len(images)
    seconds.append(time.perf_counter() - started)
    pictures.append(count)
print(json.dumps({"before": before, "seconds": seconds, "pictures": pictures}))
