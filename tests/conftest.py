"""What holds for all tests, and for the processes that they start."""

import os

# The reference, whatever faster engine is installed: tests compare its numbers exactly. The engines' own tests name
# their devices, and CRDNET_DEVICE=openvino runs everything else on another.
os.environ.setdefault("CRDNET_DEVICE", "cpu")
