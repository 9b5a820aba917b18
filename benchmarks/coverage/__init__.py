"""`lrp.explain` on every architecture of torchvision, timm and transformers; see sweep.py."""

import tests.agreement.torchvision_shim  # noqa: F401 (before anything imports torchvision)
