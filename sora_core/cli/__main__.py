"""`python -m sora_core.cli` and `torchrun -m sora_core.cli`: the command `sora`."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
