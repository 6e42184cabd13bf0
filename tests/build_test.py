"""BUILD against the source: under bazel a test has its deps' deps as well."""

import ast
import pathlib
import types

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def _targets():
  """Returns each py_library of BUILD, by name; Starlark is Python here."""
  found = {}
  names = {
    "load": lambda *names: None,
    "package": lambda **settings: None,
    "glob": lambda patterns: [
      str(path.relative_to(ROOT))
      for pattern in patterns
      for path in ROOT.glob(pattern)
    ],
    "fail": pytest.fail,
    "py_library": lambda deps=(), **rule: found.update(
      {rule["name"]: types.SimpleNamespace(deps=deps, **rule)}
    ),
    "py_test": lambda **rule: None,
  }
  exec((ROOT / "BUILD").read_text(encoding="utf-8"), names)
  return found


def _layers():
  """Returns the libraries that are no test's, and each file's library."""
  layers = {
    name: library
    for name, library in _targets().items()
    if not hasattr(library, "testonly")
  }
  homes = [(file, name) for name, lib in layers.items() for file in lib.srcs]
  assert len(homes) == len(dict(homes))
  return layers, dict(homes)


def _imports(path):
  """Yields the files of ours that the file at `path` imports."""
  for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
    if isinstance(node, ast.ImportFrom):
      for alias in node.names:
        for name in (node.module, f"{node.module}.{alias.name}"):
          file = pathlib.Path(*name.split(".")).with_suffix(".py")
          if (ROOT / file).is_file():
            yield str(file)


def test_every_module_belongs_to_a_layer():
  folders = (ROOT / "ctr_codistill", ROOT / "pipelines")
  files = {
    str(path.relative_to(ROOT))
    for folder in folders
    for path in folder.rglob("*.py")
  }
  assert set(_layers()[1]) == files


def test_a_layer_names_exactly_the_layers_that_it_imports():
  layers, homes = _layers()
  named = {name: sorted(library.deps) for name, library in layers.items()}
  imported = {
    name: sorted(
      f":{home}"
      for home in {homes[f] for s in library.srcs for f in _imports(ROOT / s)}
      if home != name
    )
    for name, library in layers.items()
  }
  assert named == imported
