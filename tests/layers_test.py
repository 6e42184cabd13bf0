"""The import rule of the layers, read off the source of all files."""

import ast
import pathlib

import pytest

import ctr_codistill
import pipelines

LIBRARY = pathlib.Path(ctr_codistill.__file__).parent
SCRIPTS = pathlib.Path(pipelines.__file__).parent

# A module may import what has a lower rank, or lies in its own folder. Models
# come after criteo: the feature spec is a network's input.
RANKS = {
  "errors": 0,
  "config": 0,
  "course": 0,
  "fields": 0,
  "graph_ops": 0,
  "keys": 0,
  "locks": 0,
  "manifests": 0,
  "method_config": 0,
  "model_config": 0,
  "overrides": 0,
  "globs": 0,
  "places": 0,
  "remote": 0,
  "stamped": 0,
  "sums": 0,
  "tensors": 0,
  "topology": 0,
  "trust": 0.5,
  "bundles": 0.6,
  "loading": 0.6,
  "snapshots": 1,
  "merging": 1.2,
  "criteo": 1,
  "models": 1.5,
  "codistill": 2,
  "evaluation": 2,
  "serving": 2,
  "exporting": 2.5,
  "training": 3,
  "": 3.5,  # the public names, which come from anywhere
}
PIPELINES = 4
FOUNDATION = 0  # any module may import these, and they one another

# What the library is given as arguments, and what only scripts may ask for.
CLOCKS_AND_FLAGS = (
  "absl",
  "argparse",
  "subprocess",
  "multiprocessing",
  "os.environ",
  "os.environb",
  "os.getenv",
  "os.putenv",
  "random",
  "sys.argv",
  "time.monotonic",
  "time.perf_counter",
  "time.process_time",
  "time.sleep",
  "time.time",
  "time.time_ns",
  "datetime.datetime.now",
  "datetime.datetime.utcnow",
  "datetime.date.today",
  "numpy.random.default_rng",
  "numpy.random.seed",
  "secrets",
)
MODELS = (
  "tensorflow.saved_model.save",
  "tensorflow.saved_model.load",
  "tf_keras.models.save_model",
  "tf_keras.models.load_model",
)


def _files():
  found = [*LIBRARY.rglob("*.py"), *SCRIPTS.rglob("*.py")]
  assert len(found) > 50
  return sorted(found)


def _module(path):
  """Returns the dotted name of the file at `path`."""
  root = LIBRARY if LIBRARY in path.parents else SCRIPTS
  parts = path.relative_to(root.parent).with_suffix("").parts
  return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _tree(path):
  return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _layer(module):
  """Returns the first name below the package, such as "criteo"."""
  package, _, rest = module.partition(".")
  return package if package == "pipelines" else rest.split(".")[0]


def _rank(module):
  layer = _layer(module)
  return PIPELINES if layer == "pipelines" else RANKS[layer]


def _is_ours(module):
  return module.split(".")[0] in ("ctr_codistill", "pipelines")


def _exists(module):
  path = LIBRARY.parent / pathlib.Path(*module.split("."))
  return path.is_dir() or path.with_suffix(".py").is_file()


def _imports(tree):
  """Yields every module that is imported, as far as it can be told."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      for alias in node.names:
        whole = f"{node.module}.{alias.name}"
        ours = _is_ours(whole)
        yield whole if not ours or _exists(whole) else node.module


def _uses(tree):
  """Yields every imported name with the attributes taken from it.

  `import numpy as np` and `np.random.seed` give "numpy.random.seed".
  """
  names = {}
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      for alias in node.names:
        bound = alias.asname or alias.name.split(".")[0]
        names[bound] = alias.name if alias.asname else bound
    elif isinstance(node, ast.ImportFrom):
      for alias in node.names:
        names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
  yield from names.values()
  for node in ast.walk(tree):
    if isinstance(node, ast.Attribute):
      attributes = []
      while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
      if isinstance(node, ast.Name) and node.id in names:
        yield ".".join([names[node.id], *reversed(attributes)])


def _is_below(name, prefix):
  return name == prefix or name.startswith(prefix + ".")


def _breaks(importer, imported):
  """Tells why `importer` may not import `imported`, "" if it may."""
  if _layer(importer) == _layer(imported):
    return ""
  if _rank(imported) < _rank(importer):
    return ""
  if _rank(imported) == FOUNDATION:
    return ""
  return (
    f"{importer} ({_rank(importer)}) imports {imported} ({_rank(imported)})"
  )


def test_every_module_has_a_layer():
  layers = {_layer(_module(path)) for path in _files()} - {"pipelines"}
  assert layers == set(RANKS)


def test_imports_go_from_the_right_to_the_left():
  broken = [
    _breaks(_module(path), imported)
    for path in _files()
    for imported in _imports(_tree(path))
    if _is_ours(imported)
  ]
  assert [line for line in broken if line] == []


def test_the_rule_has_teeth():
  wrong = [
    ("ctr_codistill.criteo.records", "ctr_codistill.models.blocks"),
    ("ctr_codistill.criteo.records", "ctr_codistill.snapshots"),
    ("ctr_codistill.snapshots", "ctr_codistill.criteo.schema"),
    ("ctr_codistill.evaluation.churn", "ctr_codistill.codistill.teacher"),
    ("ctr_codistill.codistill.teacher", "ctr_codistill.training.loop"),
    ("ctr_codistill.serving", "ctr_codistill.evaluation.metrics"),
    ("ctr_codistill.serving", "ctr_codistill.exporting.exports"),
    ("ctr_codistill.exporting.exports", "ctr_codistill.training.worker"),
    ("ctr_codistill.training.worker", "pipelines.arms"),
    ("ctr_codistill.stamped", "ctr_codistill.snapshots"),
  ]
  assert all(_breaks(*pair) for pair in wrong)
  tree = ast.parse(
    "import numpy as np\nimport os.path\nnp.random.seed(os.environ)"
  )
  assert {"numpy.random.seed", "os.environ"} <= set(_uses(tree))
  tree = ast.parse(
    "from time import time as now\nfrom ctr_codistill import config"
  )
  assert "time.time" in set(_uses(tree))
  assert list(_imports(tree)) == ["time.time", "ctr_codistill.config"]


@pytest.mark.parametrize("root", [LIBRARY, SCRIPTS])
def test_imports_are_absolute(root):
  relative = [
    f"{_module(path)}:{node.lineno}"
    for path in root.rglob("*.py")
    for node in ast.walk(_tree(path))
    if isinstance(node, ast.ImportFrom) and node.level
  ]
  assert relative == []


def test_the_library_reads_no_flags_clock_environment_or_seeds():
  found = {
    f"{_module(path)} uses {name}"
    for path in LIBRARY.rglob("*.py")
    for name in _uses(_tree(path))
    if any(_is_below(name, forbidden) for forbidden in CLOCKS_AND_FLAGS)
  }
  # It chooses the Keras that TensorFlow takes at its first import.
  found -= {
    "ctr_codistill uses os.environ",
    "ctr_codistill uses os.environ.setdefault",
  }
  assert found == set()


def test_the_package_sets_one_variable_and_reads_none():
  source = (LIBRARY / "__init__.py").read_text(encoding="utf-8")
  assert source.count("environ") == 1
  assert 'os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")' in source


def test_only_snapshots_writes_and_loads_models():
  found = {
    f"{_module(path)} uses {name}"
    for path in _files()
    for name in _uses(_tree(path))
    if any(_is_below(name, forbidden) for forbidden in MODELS)
  }
  assert found == {
    "ctr_codistill.snapshots uses tensorflow.saved_model.save",
    "ctr_codistill.loading uses tensorflow.saved_model.load",
  }
