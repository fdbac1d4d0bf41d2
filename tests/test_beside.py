"""In one process with other OpenMP libraries: imported in any order, at work together, and after fork.

Each brings an OpenMP runtime of its own; what can go wrong is a library that does not load, a hang, or another result.
Run against an installed wheel, it judges the runtime in the wheel.
"""

import itertools
import os
import subprocess
import sys

import pytest

LIBRARIES = ("fastloss", "torch", "sklearn", "xgboost")

CODE = """
import importlib, os, sys, threading, time
for name in sys.argv[1:]:
    importlib.import_module(name)
import numpy as np, torch, xgboost
from sklearn.ensemble import HistGradientBoostingClassifier
import fastloss as fl

rng = np.random.default_rng(0)
logits = rng.standard_normal((4096, 64)).astype(np.float32)
labels = rng.integers(0, 64, 4096)
rows, classes = rng.standard_normal((3000, 8)), rng.integers(0, 2, 3000)
fl.set_num_threads(2)
torch.set_num_threads(2)

def of_fastloss():
    value, grad = fl.cross_entropy.value_and_grad(logits, labels)
    return value, grad.tobytes()

def of_torch():
    x = torch.from_numpy(logits).clone().requires_grad_()
    torch.nn.functional.cross_entropy(x, torch.from_numpy(labels)).backward()

def of_sklearn():
    HistGradientBoostingClassifier(max_iter=3, max_leaf_nodes=7).fit(rows, classes)

def of_xgboost():
    xgboost.train({"nthread": 2, "objective": "binary:logistic"}, xgboost.DMatrix(rows, classes), num_boost_round=3)

work = {"fastloss": of_fastloss, "torch": of_torch, "sklearn": of_sklearn, "xgboost": of_xgboost}
with fl.num_threads(1):
    expected = of_fastloss()
for name in sys.argv[1:]:  # each starts its threads
    work[name]()
errors = []

def several_times(task):
    try:
        for _ in range(3):
            result = task()
            assert result is None or result == expected
    except BaseException as error:
        errors.append(error)

together = [threading.Thread(target=several_times, args=(work[name],)) for name in sys.argv[1:]]
for thread in together:
    thread.start()
for thread in together:
    thread.join()
assert not errors, errors

child = os.fork()
if child == 0:
    os._exit(0 if of_fastloss() == expected else 3)
limit = time.monotonic() + 200
while True:
    done, status = os.waitpid(child, os.WNOHANG)
    if done or time.monotonic() > limit:
        break
    time.sleep(0.01)
if not done:
    os.kill(child, 9)
    os.waitpid(child, 0)
assert done and status == 0, ("after fork", done, status)
for name in sys.argv[1:]:  # and the parent goes on
    work[name]()
assert of_fastloss() == expected
mapped = {line.split()[-1] for line in open("/proc/self/maps") if "/" in line}
libraries = {path for path in mapped if any(name in path for name in ("gomp", "iomp", "libomp"))}
print(len(libraries), "OpenMP runtimes:", *sorted(libraries))
"""


def run(order):
    for name in LIBRARIES[1:]:
        pytest.importorskip(name)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FASTLOSS_", "OMP_", "KMP_"))}
    result = subprocess.run(
        [sys.executable, "-c", CODE, *order], env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert result.returncode == 0, result.stderr
    print(result.stdout)


pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="reads Linux's list of loaded libraries")


@pytest.mark.parametrize("order", [LIBRARIES, LIBRARIES[::-1]], ids="-".join)
def test_first_and_last(order):
    run(order)


@pytest.mark.slow
@pytest.mark.parametrize("order", list(itertools.permutations(LIBRARIES)), ids="-".join)
def test_every_order(order):
    run(order)
