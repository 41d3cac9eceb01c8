"""`python -m tomograd`: the command line."""

from tomograd.cli import main

if __name__ == "__main__":
    main()
