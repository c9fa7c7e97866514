"""edgepipe: declarative, verified compression of neural networks for small devices."""

import os

__version__ = "0.1.0"

# Before torch is loaded: OpenMP's threads otherwise spin for milliseconds while they wait, and take from every other
# process on the machine the processor that it computes on. Parallel jobs of a sweep became several times slower by it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Not at all is too little: a training step has thousands of short waits. An EfficientNet-B0's took 6.3 ms a picture on
# two idle cores, with some microseconds of spinning 4.9; beside a busy process 9.1 and 10.3, with GNU's default 50.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
# Nothing leaves the machine unasked: ONNX Runtime 1.31 otherwise writes a device id and a database into ~/.cache and
# sends what it did to its maker, Ray likewise. What the user set stands; programs that are started inherit it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
