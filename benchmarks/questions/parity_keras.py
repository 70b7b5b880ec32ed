"""Our networks against Keras Applications: the same numbers from the same weights."""

from benchmarks.harness.figures import Answer, Options
from benchmarks.harness.parity import Case, compare
from benchmarks.harness.peers import peer_python, peer_versions

ASKS = (
    "Do our networks load the `.weights.h5` files of Keras Applications as they are, and answer as Keras does? Each network is made there with "
    "random weights, saved, and asked about two pictures; ours loads the file and is asked the same."
)
REPEATS = 1
NEEDS = ()

_WITHOUT_SCALE = (("norm_scale", False),)  # as there: the numbers are the same with a scale of one, the parameters more
_AS_WE_SCALE = (("include_preprocessing", False),)  # pixels are normalised before a network of ours, not in it

CASES = (
    Case("keras", "VGG16", "vgg16"),
    Case("keras", "VGG19", "vgg19"),
    Case("keras", "ResNet50", "resnet50"),
    Case("keras", "ResNet101", "resnet101"),
    Case("keras", "ResNet152", "resnet152"),
    Case("keras", "InceptionV3", "inception_v3", 299, options=_WITHOUT_SCALE),
    Case("keras", "InceptionResNetV2", "inception_resnet_v2", 299, options=_WITHOUT_SCALE),
    Case("keras", "Xception", "xception", 299),
    Case("keras", "MobileNet", "mobilenet_v1"),
    Case("keras", "MobileNetV2", "mobilenet_v2"),
    Case("keras", "MobileNetV3Small", "mobilenet_v3_small", their_options=_AS_WE_SCALE),
    Case("keras", "MobileNetV3Large", "mobilenet_v3_large", their_options=_AS_WE_SCALE),
    Case("keras", "DenseNet121", "densenet121"),
    Case("keras", "EfficientNetB0", "efficientnet_b0"),
)


def measure(options: Options) -> Answer:
    """Asks every network.

    Raises:
        Failed: The peer did not run, or a file was refused.
    """
    from dataclasses import replace

    from fovea.versions import versions

    python = peer_python("keras", chosen=options.peer_python, say=options.say)
    answer = compare(CASES, python, options)
    return replace(answer, versions=versions("torch", "h5py") | peer_versions(python, ["keras", "tensorflow-cpu"]))
