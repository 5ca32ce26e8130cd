"""The suite runs on the CPU, also on a machine with a GPU, unless CUDA_VISIBLE_DEVICES names one.

There the base is in bfloat16, and what must be the same to the last bit on the CPU (texts of a batch and alone, sums of
log-probabilities) is the same to three digits only.
"""

import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
