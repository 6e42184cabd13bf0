"""Scripts: the only place with flags, argv, the environment and processes."""

import os

# TensorFlow's C++ warns of absent GPUs at every start; its errors reach us as
# exceptions. Whoever wants the lines sets the variable.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
