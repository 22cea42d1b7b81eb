"""Grad-CAM, Guided Backprop and Guided Grad-CAM (Selvaraju et al., ICCV 2017) for any PyTorch model.

>>> from explainers import explain
>>> explanation = explain(lambda x: model(x)[0, [281]], image, model.layer4)
>>> explanation.gradcam.shape
torch.Size([1, 224, 224])
"""

from explainers.gradcam import Explanation, LayerMaps, explain, explain_batch, feature_maps, gradcam_maps, layer_maps
from explainers.methods import METHODS, Method, counterfactual_map
from explainers.occlusion import occlusion_maps
from explainers.region import Box, linear_maps, region_evidence
from explainers.relu_rules import Rule

__all__ = [
    "METHODS",
    "Box",
    "Explanation",
    "LayerMaps",
    "Method",
    "Rule",
    "counterfactual_map",
    "explain",
    "explain_batch",
    "feature_maps",
    "gradcam_maps",
    "layer_maps",
    "linear_maps",
    "occlusion_maps",
    "region_evidence",
]
