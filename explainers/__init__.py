"""Grad-CAM, Guided Backprop and Guided Grad-CAM (Selvaraju et al., ICCV 2017) for any PyTorch model.

>>> from explainers import explain
>>> explanation = explain(lambda x: model(x)[0, [281]], image, model.layer4)
>>> explanation.gradcam.shape
torch.Size([1, 224, 224])
"""

from explainers.adversarial import targeted_noise
from explainers.box import box_from_map
from explainers.cam import cam_maps, linear_maps, normalised_difference
from explainers.excitation import excitation_maps
from explainers.gradcam import (
    Explanation,
    ForwardPass,
    LayerMaps,
    explain,
    explain_batch,
    forward_pass,
    gradcam_maps,
    layer_maps,
)
from explainers.methods import FILLS, METHODS, Method, MethodInputs, Patches
from explainers.occlusion import mean_over_cells, occlusion_maps
from explainers.progress import Slow, finish
from explainers.region import Box, region_evidence
from explainers.relu_rules import RULES, Rule
from explainers.score_cam import score_cam
from explainers.steps import Steps, steps
from explainers.variants import counterfactual_map, gradcam_plus_plus, layer_cam, maximum_map

__all__ = [
    "FILLS",
    "METHODS",
    "RULES",
    "Box",
    "Explanation",
    "ForwardPass",
    "LayerMaps",
    "Method",
    "MethodInputs",
    "Patches",
    "Rule",
    "Slow",
    "Steps",
    "box_from_map",
    "cam_maps",
    "counterfactual_map",
    "excitation_maps",
    "explain",
    "explain_batch",
    "finish",
    "forward_pass",
    "gradcam_maps",
    "gradcam_plus_plus",
    "layer_cam",
    "layer_maps",
    "linear_maps",
    "maximum_map",
    "mean_over_cells",
    "normalised_difference",
    "occlusion_maps",
    "region_evidence",
    "score_cam",
    "steps",
    "targeted_noise",
]
