"""What an arm costs, by arithmetic: a clock on a busy machine would say less.

A cost is multiply-adds of dense layers for one example, times examples. What
tables cost depends on memory and not on arithmetic; it is left out, alike for
all arms.
"""

import dataclasses
from collections.abc import Mapping

import tf_keras

from ctr_codistill import config
from ctr_codistill import topology
from ctr_codistill.codistill import schedule
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.models import networks

_PASSES = 3  # forward; backward to the inputs; backward to the weights


def forward(model: config.Model, schema: Schema) -> int:
  """Returns the multiply-adds of a model's dense layers for one example.

  The sum of the sizes of their kernels; a layer that is used twice counts once.
  """
  # Tables are of no account here, and may be as large as the memory.
  small = dataclasses.replace(
    schema,
    categorical=tuple(
      dataclasses.replace(one, size=0, oov=1) for one in schema.categorical
    ),
  )
  network = networks.build(model, small, seed=0)
  return sum(
    layer.kernel.shape.num_elements()
    for layer in network.submodules
    if isinstance(layer, tf_keras.layers.Dense)
  )


def training(
  experiment: config.Experiment,
  steps: tuple[int, ...],
  forwards: Mapping[config.Model, int],
  teachers: tuple[config.Model, ...] = (),
) -> float:
  """Returns the multiply-adds of a training of all groups.

      sum_g  E_g 3 F_g  +  s_g T_g sum_{t asked by g} F_t

  with E_g the examples group g trains on, T_g those of them at steps
  where its teacher's weight is above 0, s_g its `taught_share`, and F the
  forward cost of a model. Nobody is asked where predictions are the exchange.

  Args:
    experiment: what was trained.
    steps: of each group.
    forwards: cost of each model, see `forward`.
    teachers: of the experiment's fixed teachers those whose model is known;
      others are taken to be like the student.
  """
  total = 0.0
  for group, count in enumerate(steps):
    own = config.for_group(experiment, group)
    cost, batch = forwards[own.model], own.training.batch_size
    total += _PASSES * cost * count * batch
    asked = [forwards[model] for model in _peers(experiment, group)]
    fixed = len(own.codistill.teachers)
    known = [forwards[model] for model in teachers]
    asked += known + [cost] * (fixed - len(known))
    if own.exchange.what == "snapshots":
      taught = _taught(own.codistill, count) * batch
      total += own.codistill.taught_share * taught * sum(asked)
  return total


def models(experiment: config.Experiment) -> list[config.Model]:
  """Returns the model of each group."""
  groups = range(experiment.groups)
  return [config.for_group(experiment, group).model for group in groups]


def _peers(experiment: config.Experiment, group: int) -> list[config.Model]:
  """Returns the models that a group asks."""
  every = models(experiment)
  asked = topology.peers(experiment.exchange.topology, experiment.groups)
  return [every[peer] for peer in asked[group]]


def _taught(codistill: config.Codistill, steps: int) -> int:
  """Returns at how many steps the teacher has a weight, and is asked."""
  span = schedule.Span(steps, steps)
  weights = (
    schedule.weight(codistill, step=step, span=span) for step in range(steps)
  )
  return sum(weight > 0 for weight in weights)
