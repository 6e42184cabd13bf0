"""Codistillation of click models, and an evaluator of their churn."""

import os

# TFRS raises at its import under Keras 3, and MultiWorkerMirroredStrategy does
# not work with it (keras #20585); TensorFlow reads this at its first import.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
