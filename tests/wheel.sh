#!/bin/sh
# Builds the wheel, unpacks it apart from the checkout, and uses what it holds.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$PYTHON" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$work" .
"$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --target "$work/site" "$work"/groundtruth-*.whl
cd "$work"
PYTHONPATH="$work/site" GROUNDTRUTH_CACHE="$work/cache" "$PYTHON" - <<'PY'
import pathlib

import groundtruth as gt

home = pathlib.Path(gt.__file__).resolve().parent
assert home.parent.name == "site", f"imported {home}, not the wheel"
for name in ("generators", "compiled_models", "evaluators"):
    assert (home / name / "__init__.py").is_file(), f"{name} is missing from the wheel"
    assert not (home.parent / name).exists(), f"{name} is installed at the top level"
assert (home / "py.typed").is_file() and (home / "__init__.pyi").is_file()
world = gt.build("sparse/small", seed=0)
report = gt.evaluate(world, gt.Dictionary(world.truth.features.directions), metrics="recover.recall")
assert report["recover.recall"].value == 1.0
from groundtruth.compiled_models import library
assert library.program("hist")("aba") == [2, 1, 2]
print("wheel: ok")
PY
