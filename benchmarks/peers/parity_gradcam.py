"""A network of torchvision with random weights: its file, pictures, and what captum says of them: the peer of `parity_gradcam`.

    python parity_gradcam.py NAME SIDE_PX LAYER FOLDER

Writes FOLDER/NAME.pth and FOLDER/NAME.npz: pixels (2, 3, S, S), targets (2,), Grad-CAM at LAYER raw (2, h, w) and resized (2, S, S), and the
plain gradients, (2, S, S); integrated gradients of MobileNetV2; guided backpropagation of VGG-16, whose ReLUs can be hooked.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

_register = torch.library.register_fake


def register_what_exists(name, *arguments, **options):
    """torchvision's operators in C++ do not load beside a CPU build of torch; its networks do without them."""
    register = _register(name, *arguments, **options)

    def attempt(function):
        try:
            return register(function)
        except RuntimeError:
            return function

    return attempt


torch.library.register_fake = register_what_exists
warnings.simplefilter("ignore")

import torchvision  # noqa: E402
from captum.attr import GuidedBackprop, IntegratedGradients, LayerAttribution, LayerGradCam, Saliency  # noqa: E402

name, side, layer, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
torch.manual_seed(0)
network = getattr(torchvision.models, name)(weights=None, **({"init_weights": False} if name == "inception_v3" else {}))
norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
coarse = 2 * torch.randn(2, 3, 5, 5).repeat_interleave(side // 5 + 1, 2).repeat_interleave(side // 5 + 1, 3)[..., :side, :side]
pixels = coarse + 0.5 * torch.randn(2, 3, side, side)
with torch.no_grad():
    for key, tensor in network.named_parameters():
        if tensor.dim() == 1 and key.endswith("weight"):
            tensor.uniform_(0.7, 1.3)
        elif tensor.dim() == 1:
            tensor.normal_(0, 0.2 if norms else 0.02)
        elif not norms:
            nn.init.kaiming_normal_(tensor)
    network.eval()
    for module in norms:  # random weights would otherwise shrink or blow up what passes through many layers
        module.momentum = 1.0
        module.train()
    network(pixels)
    network.eval()
    targets = network(pixels).argmax(dim=1)
for module in network.modules():
    if isinstance(module, nn.ReLU | nn.ReLU6):
        module.inplace = False  # captum hooks them

torch.save(network.state_dict(), folder / f"{name}.pth")
network, pixels = network.double(), pixels.double()  # else rounding flips a ReLU here or there, and a gradient jumps

raw = LayerGradCam(network, network.get_submodule(layer)).attribute(pixels, target=targets, relu_attributions=True)
resized = LayerAttribution.interpolate(raw, (side, side), "bilinear")
gradients = Saliency(network).attribute(pixels.clone(), target=targets).amax(dim=1)
found = {
    "pixels": pixels,
    "targets": targets,
    "raw": raw[:, 0],
    "resized": resized[:, 0],
    "gradients": gradients,
}
if name == "mobilenet_v2":  # the quickest of them: two times 32 passes there and back
    way = IntegratedGradients(network).attribute(
        pixels, baselines=torch.zeros_like(pixels), target=targets, n_steps=32, internal_batch_size=8
    )
    found["integrated_gradients"] = way.sum(dim=1)
if name == "vgg16":  # only its ReLUs are all modules
    found["guided_backprop"] = GuidedBackprop(network).attribute(pixels.clone(), target=targets).abs().amax(dim=1)
np.savez(folder / f"{name}.npz", **{key: value.detach().numpy() for key, value in found.items()})
