"""Models, weights and inputs read from files, without running code that the user did not ask for.

- spec: `file.py:Class` or `package.module:callable` -> a torch module in eval mode
- weights: `.safetensors` or `.pth` -> the model's parameters, loaded strictly
- unsafe: what a refused pickle would have run
- inputs: a file -> tensors whose first axis is the sample axis; tables (CSV), arrays (npy, npz), images
- imagenet: the pretrained photograph classifier of `lrp demo`
"""

from __future__ import annotations

from lrp.models.inputs import READABLE, Inputs, load_inputs
from lrp.models.spec import importable, load_model
from lrp.models.weights import load_weights, read_state_dict

__all__ = ["READABLE", "Inputs", "importable", "load_inputs", "load_model", "load_weights", "read_state_dict"]
