"""With outputs given, a call needs no memory beside them but what its threads work in: NumPy's own allocations
(tracemalloc) and everything that is resident (Linux) of fresh processes. Not here: time.
"""

import json
import subprocess
import sys

import pytest

# Arrays have 64 MiB. What two threads work in, some tiles of rows each, is below 1 MiB; stacks, and the pages of code
# that a small call did not touch, come on top.
ELEMENTS = 2**24
MOST_BYTES = 4 * 2**20

# A job makes its arrays for n elements, without temporaries that would raise the peak, and returns the call.
JOBS = {
    "huber_loss": """
        x, t, g = array(n), array(n), array(n)
        return lambda: fl.huber_loss.value_and_grad(x, t, grad_out=g)
    """,
    "huber_loss, weights, strides, another type": """
        x, t, g, w = array(n)[::-1], np.full(n, 0.25), array(n // 4, 4).T, np.full((n // 4, 1), 0.5)
        x = x.reshape(4, n // 4)
        return lambda: fl.huber_loss.value_and_grad(x, t.reshape(4, n // 4), sample_weight=w.T, grad_out=g)
    """,
    "binary_cross_entropy_with_logits, unreduced, all derivatives": """
        x, t, v, g, h = (array(n) for _ in range(5))
        return lambda: fl.binary_cross_entropy_with_logits.value_grad_hess(
            x, t, reduction="none", out=v, grad_out=g, hess_out=h)
    """,
    "cross_entropy": """
        x, t, g = array(n // 1024, 1024), np.ones(n // 1024, "int64"), array(n // 1024, 1024)
        return lambda: fl.cross_entropy.value_and_grad(x, t, grad_out=g)
    """,
    "cross_entropy, in place, all options": """
        x, t, w = array(n // 1024, 1024), np.ones(n // 1024, "uint8"), np.full(1024, 0.5)
        return lambda: fl.cross_entropy.value_and_grad(
            x, t, grad_out=x, class_weight=w, label_smoothing=0.1, temperature=2.0, logit_softcap=30.0, z_loss=1e-4)
    """,
    "cross_entropy, few classes": """
        x, t, g = array(n // 8, 8), np.ones(n // 8, "int32"), array(n // 8, 8)
        return lambda: fl.cross_entropy.value_and_grad(x, t, grad_out=g)
    """,
    "cross_entropy, few classes, numbers of every row": """
        m = n // 4
        x, t, g, v, w, u = array(m, 4), np.ones(m, "int8"), array(m, 4), array(m), np.full(m, 0.5), array(m)
        return lambda: fl.cross_entropy.value_and_grad(
            x, t, reduction="none", sample_weight=w, grad_output=u[::-1], out=v, grad_out=g)
    """,
    "softmax_focal_loss, few classes, numbers of every row": """
        m = n // 4
        x, t, g, v, w, u = array(m, 4), np.ones(m, "int8"), array(m, 4), array(m), np.full(m, 0.5), array(m)
        return lambda: fl.softmax_focal_loss.value_and_grad(
            x, t, reduction="none", sample_weight=w, grad_output=u[::-1], out=v, grad_out=g)
    """,
    "cross_entropy, class axis apart": """
        x, t, g = array(4, 64, n // 256), np.ones((4, n // 256), "int64"), array(4, 64, n // 256)
        return lambda: fl.cross_entropy.value_and_grad(x, t, grad_out=g, axis=1)
    """,
    "cross_entropy, probabilities of another type": """
        x, t, g = array(n // 1024, 1024), np.full((n // 1024, 1024), 2.0**-10), array(n // 1024, 1024)
        return lambda: fl.cross_entropy.value_and_grad(x, t, grad_out=g, label_smoothing=0.1)
    """,
    "cross_entropy, one row": """
        x, t, g = array(1, n), np.ones(1, "int64"), array(1, n)
        return lambda: fl.cross_entropy.value_and_grad(x, t, grad_out=g)
    """,
    "softmax, in place": """
        x = array(n // 1024, 1024)
        return lambda: fl.softmax(x, out=x)
    """,
    "sigmoid": """
        x, y = array(n), array(n)
        return lambda: fl.sigmoid(x, out=y)
    """,
    # The sum itself is made in double: two outputs of 1 MiB.
    "clip_and_noise": """
        x, s = array(64, n // 64), np.zeros(n // 64, "float32")
        return lambda: fl.privacy.clip_and_noise(x, 1.0, 1.0, expected_batch_size=64, rng=1, out=s)
    """,
}

SCRIPT = """
import json, textwrap, tracemalloc
import numpy as np
import fastloss as fl

def array(*shape):
    return np.full(shape, 0.5, "float32")

def resident(field):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(field))

def job(n):
{body}

fl.set_num_threads(2)
job(2**18)()  # code and threads are there from now on
call = job({elements})
try:
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")  # the peak starts again from here
    before = resident("VmRSS")
    call()
    more = resident("VmHWM") - before
except OSError:
    more = None
tracemalloc.start()
call()
print(json.dumps([tracemalloc.get_traced_memory()[1], more]))
"""


def peaks(body: str) -> tuple[int, int | None]:
    """Bytes that NumPy and Python allocated at most during a call, and by how many the process grew (None: unknown)."""
    script = SCRIPT.format(body=body, elements=ELEMENTS)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    allocated, resident = json.loads(run.stdout)
    return allocated, resident


@pytest.mark.parametrize("name", JOBS)
def test_no_large_temporary(name):
    allocated, resident = peaks(JOBS[name])
    assert allocated < MOST_BYTES
    assert resident is None or resident < MOST_BYTES


def test_a_temporary_would_be_seen():
    """Both measurements notice a copy of an array: what the tests above would see if there were one."""
    allocated, resident = peaks("""
        x = array(n)
        return lambda: x.copy().sum()
    """)
    assert allocated > 0.9 * ELEMENTS * 4
    assert resident is None or resident > 0.9 * ELEMENTS * 4
