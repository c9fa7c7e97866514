"""edgepipe: declarative, verified compression of neural networks for small devices."""

import os

__version__ = "0.1.0"

# Before torch is loaded: OpenMP's threads otherwise spin while they wait, and take from every other process on the
# machine the processor that it computes on. Parallel jobs of a sweep became several times slower by it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
