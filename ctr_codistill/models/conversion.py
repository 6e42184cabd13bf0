"""Keeps TensorFlow's AutoGraph away from code that needs no conversion.

TF 2.16 knows Keras by its older name, so it rewrites the source of `tf_keras`
when a layer of somebody's class is first called: ten seconds for TFRS' `Cross`,
half a minute for a model of two towers. What users write is converted as ever.
"""

import functools

_SPARED = ("tf_keras", "tensorflow_recommenders", "ctr_codistill")


@functools.cache
def spare() -> None:
  """Tells AutoGraph to leave `tf_keras`, TFRS and this package alone.

  The rules are private to TensorFlow; without them all is slow, but right.
  """
  try:
    from tensorflow.python.autograph.core import config

    spared = [config.DoNotConvert(name) for name in _SPARED]
    config.CONVERSION_RULES = (*spared, *config.CONVERSION_RULES)
  except (ImportError, AttributeError, TypeError):
    return
