"""edgepipe: declarative, verified compression of neural networks for small devices."""

__version__ = "0.1.0"
