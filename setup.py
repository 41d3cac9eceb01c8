"""What is installed, and under which import name: the folders at the top become one package, `tomograd`."""

from pathlib import Path

from setuptools import setup

FOLDERS = ["files", "engine", "kernels", "models", "imaging", "benchmarks", "testing"]


def packages() -> dict[str, str]:
    """Import name → folder: `interface/` is tomograd itself, every other folder (and its own) a package inside it."""
    found = {"tomograd": "interface"}
    for top in ["interface", *FOLDERS]:
        for init in sorted(Path(top).rglob("__init__.py")):
            folder = init.parent
            inside = folder.parts[1:] if top == "interface" else folder.parts
            found[".".join(["tomograd", *inside])] = folder.as_posix()
    return found


# The CPU kernels are compiled through parts of Numba that are not public (kernels/cpu/compiling.py): one version.
CORE = ["numpy>=1.26", "numba>=0.68,<0.69", "safetensors>=0.4.3", "pydicom>=3.0.2", "typer>=0.12", "rich>=13.7"]
IMAGING = [
    "matplotlib>=3.8",
    "pillow>=10.3",
    "tifffile>=2024.1",
    "nibabel>=5.2",
    "scipy>=1.11",
    "highdicom>=0.25",
    "pylibjpeg>=2.0",
    "pylibjpeg-libjpeg>=2.1",
    "pylibjpeg-openjpeg>=2.3",
    "pylibjpeg-rle>=2.0",
]
TESTING = ["hypothesis>=6.100"]
# The compiler of CUDA C, for machines without a GPU: it needs no driver.
NVRTC = ["cuda-bindings>=13,<14", "nvidia-cuda-nvrtc>=13,<14"]
TEST = ["pytest>=8", *TESTING, "pytest-xdist>=3.5", "scikit-learn>=1.4"]
LINT = ["ruff>=0.6", "mypy>=1.10"]
BFLOAT16 = ["ml_dtypes>=0.5"]  # the type, for NumPy and for CuPy; imported when it is asked for
# Before 14.2 CuPy does not find all instances of templates again that it keeps on disk.
CUDA = ["cupy-cuda13x>=14.2", *BFLOAT16]
CUDA12 = ["cupy-cuda12x>=14.2", *BFLOAT16]
BENCH = ["torch>=2.4"]

if __name__ == "__main__":
    layout = packages()
    setup(
        name="tomograd",
        version="0.1.0",
        description="A deep-learning engine from scratch for medical images: autograd, SIMD kernels, U-Net, DICOM.",
        long_description=Path("README.md").read_text(encoding="utf-8"),
        long_description_content_type="text/markdown",
        license="MIT",
        python_requires=">=3.11,<3.14",
        packages=sorted(layout),
        package_dir=layout,
        package_data={"tomograd": ["py.typed"], "tomograd.kernels.cuda": ["sources/*"]},
        install_requires=CORE,
        extras_require={
            "cuda": CUDA,
            "cuda12": CUDA12,
            "imaging": IMAGING,
            "test": IMAGING + TEST + NVRTC + BFLOAT16,
            "testing": TESTING,
            "lint": LINT,
            "bench": BENCH,
        },
        entry_points={"console_scripts": ["tomograd=tomograd.cli:main"]},
    )
