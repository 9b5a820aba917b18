"""Models, weights and inputs read from files, without running code that the user did not ask for.

- spec: `file.py:Class` or `package.module:callable` -> a torch module in eval mode
- weights: `.safetensors` or `.pth` -> the model's parameters, loaded strictly
- unsafe: what a refused pickle would have run
- pretrained: a folder of transformers -> a module in eval mode, a tokenizer
- inputs: a file -> tensors whose first axis is the sample axis; tables (CSV, Parquet), arrays (npy, npz), sounds (WAV),
  images
- preprocess: a configuration of timm or transformers -> how images are prepared
- imagenet: the pretrained photograph classifier of `lrp demo`
"""

from __future__ import annotations

from lrp.models.images import ENDINGS as IMAGES
from lrp.models.inputs import READABLE, Inputs, load_inputs
from lrp.models.preprocess import Preprocess, read_preprocess
from lrp.models.pretrained import MARK, load_pretrained, load_tokenizer
from lrp.models.sounds import extractor
from lrp.models.spec import importable, load_model
from lrp.models.weights import load_weights, read_state_dict

__all__ = [
    "IMAGES",
    "MARK",
    "READABLE",
    "Inputs",
    "Preprocess",
    "extractor",
    "importable",
    "load_inputs",
    "load_model",
    "load_pretrained",
    "load_tokenizer",
    "load_weights",
    "read_preprocess",
    "read_state_dict",
]
