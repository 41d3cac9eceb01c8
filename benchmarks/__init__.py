"""Benchmarks of kernels and training steps, beside a peer where one is installed: `python -m tomograd.benchmarks`."""
