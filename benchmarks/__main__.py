"""`python -m tomograd.benchmarks kernels|functions|steps|startup|memory|report`: the same as `tomograd bench`."""

from tomograd.cli.bench import main

if __name__ == "__main__":
    main()
