"""`python -m sora_core.training` and `torchrun -m sora_core.training`: the same stages as `sora train`."""

import sys

from .cli import main

sys.exit(main())
