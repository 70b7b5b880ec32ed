"""Cats against dogs by fast feature extraction, as the standard text lists it (see README.md): the peer of the main job.

    python keras_fast_features.py cats_dogs/

The text: every photo passes a pretrained convolutional base once; its outputs are kept in memory; a small classifier
(global average, dense 256 with ReLU, dropout 0.25, one sigmoid) learns from them for 10 epochs; it is evaluated on the
test photos. Here at 224 px with MobileNetV2, the base and size of the main job. The text also keeps the best epoch in a
file and loads it again; that is left out, which makes the peer a little faster.

The weights are random, because nothing can be downloaded where this is measured. A network of this shape takes the same
time whatever its weights are, so the seconds stand; the accuracy that is printed means nothing and is never to be quoted.
"""

import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers

IMAGE_SIZE = (224, 224)
BATCH_SIZE = 32
EPOCHS = 10

folder = Path(sys.argv[1])

train_dataset = keras.utils.image_dataset_from_directory(folder / "train", image_size=IMAGE_SIZE, batch_size=BATCH_SIZE)
validation_dataset = keras.utils.image_dataset_from_directory(folder / "validation", image_size=IMAGE_SIZE, batch_size=BATCH_SIZE)
test_dataset = keras.utils.image_dataset_from_directory(folder / "test", image_size=IMAGE_SIZE, batch_size=BATCH_SIZE)

conv_base = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(*IMAGE_SIZE, 3))
conv_base.trainable = False


def get_features_and_labels(dataset):
    all_features = []
    all_labels = []
    for images, labels in dataset:
        preprocessed_images = keras.applications.mobilenet_v2.preprocess_input(images)
        features = conv_base.predict(preprocessed_images, verbose=0)
        all_features.append(features)
        all_labels.append(labels)
    return np.concatenate(all_features), np.concatenate(all_labels)


train_features, train_labels = get_features_and_labels(train_dataset)
validation_features, validation_labels = get_features_and_labels(validation_dataset)
test_features, test_labels = get_features_and_labels(test_dataset)
for name, features in (("train", train_features), ("validation", validation_features), ("test", test_features)):
    print(f"{name} features: {' x '.join(map(str, features.shape))}")

inputs = keras.Input(shape=train_features.shape[1:])
x = layers.GlobalAveragePooling2D()(inputs)
x = layers.Dense(256, activation="relu")(x)
x = layers.Dropout(0.25)(x)
outputs = layers.Dense(1, activation="sigmoid")(x)
model = keras.Model(inputs, outputs)

model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
model.fit(train_features, train_labels, epochs=EPOCHS, validation_data=(validation_features, validation_labels), verbose=2)
test_loss, test_accuracy = model.evaluate(test_features, test_labels, verbose=0)
print(f"test loss {test_loss:.3f}, accuracy {test_accuracy:.3f} (random weights: both mean nothing)")
