"""The CUDA kernels as the cases call them: with NumPy's arrays, emulated on the CPU, or on the GPU (`--gpu`).

The files `cases_*.py` hold the cases. `test_emulated.py` runs them under the address sanitizer;
`python -m pytest tests/kernels/cuda/cases_pooling.py` runs them emulated without it, and with `--gpu` on the GPU.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "emulation"))


@pytest.fixture(scope="session")
def on_gpu(request):
    """Whether the cases run on the GPU."""
    return request.config.getoption("--gpu")


@pytest.fixture(scope="session")
def cuda(on_gpu, request):
    """The backend, as a namespace of functions of NumPy's arrays."""
    from tomograd.kernels import backend
    from tomograd.kernels.cuda import runtime

    if on_gpu:
        import cupy
        from gpu_arrays import OnGPU

        if request.config.getoption("--no-pool"):
            cupy.cuda.set_allocator(None)
        yield OnGPU(backend("cuda"))
        return
    from emulated import Emulated

    import tomograd.kernels.cuda as kernels

    with runtime.use(Emulated()):
        yield kernels
