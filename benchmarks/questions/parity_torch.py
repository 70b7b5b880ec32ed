"""Our networks against torchvision and timm: the same numbers from the same weights."""

from benchmarks.harness.figures import Answer, Options
from benchmarks.harness.parity import Case, compare
from benchmarks.harness.peers import peer_python, peer_versions

ASKS = (
    "Do our networks load the files of torchvision (`.pth`) and timm (`.safetensors`) as they are, and answer as these do? Each network is made "
    "there with random weights, saved, and asked about two pictures; ours loads the file and is asked the same."
)
REPEATS = 1
NEEDS = ()

_BOTH = ("vgg11", "vgg13", "vgg16", "vgg19", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "densenet121", "efficientnet_b0")
_QUICK = (("init_weights", False),)  # drawn in another way, which takes a minute

CASES = (
    *(Case(library, name, name) for name in _BOTH for library in ("torchvision", "timm")),
    *(Case(library, "vgg16_bn", "vgg16", options=(("batch_norm", True),)) for library in ("torchvision", "timm")),
    Case("torchvision", "alexnet", "alexnet"),
    Case("torchvision", "googlenet", "googlenet", their_options=_QUICK),
    Case("torchvision", "inception_v3", "inception_v3", 299, their_options=_QUICK),
    Case("torchvision", "mobilenet_v2", "mobilenet_v2"),
    Case("torchvision", "mobilenet_v3_small", "mobilenet_v3_small"),
    Case("torchvision", "mobilenet_v3_large", "mobilenet_v3_large"),
    Case("torchvision", "shufflenet_v2_x1_0", "shufflenet_v2"),
    Case("torchvision", "squeezenet1_0", "squeezenet1_0", 227),
    Case("timm", "inception_v3", "inception_v3", 299),
    Case("timm", "inception_resnet_v2", "inception_resnet_v2", 299),
    Case("timm", "legacy_xception", "xception", 299),
    Case("timm", "mobilenetv1_100", "mobilenet_v1"),
    Case("timm", "mobilenetv2_100", "mobilenet_v2"),
    Case("timm", "mobilenetv3_small_100", "mobilenet_v3_small"),
    Case("timm", "mobilenetv3_large_100", "mobilenet_v3_large"),
    Case("timm", "vit_tiny_patch16_224", "vit_tiny"),
    Case("timm", "vit_small_patch16_224", "vit_small"),
)


def measure(options: Options) -> Answer:
    """Asks every network.

    Raises:
        Failed: The peer did not run, or a file was refused.
    """
    from dataclasses import replace

    from fovea.versions import versions

    python = peer_python("torch", chosen=options.peer_python, say=options.say)
    answer = compare(CASES, python, options)
    return replace(answer, versions=versions("torch") | peer_versions(python, ["torch", "torchvision", "timm"]))
