"""A command's start: what it does not import, and what it does not collect."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from sora_core.cli import generate
from sora_core.cli.start import ahead, uncollected


def test_nothing_is_collected_meanwhile_nor_is_what_was_made_looked_at_again():
    before = gc.get_freeze_count()
    try:
        with pytest.raises(KeyError), uncollected():
            assert not gc.isenabled()
            kept = [[number] for number in range(1000)]
            raise KeyError
        assert gc.isenabled() and gc.get_freeze_count() > before + len(kept)
        gc.disable()
        with uncollected():
            pass
        assert not gc.isenabled()  # as it was
    finally:
        gc.enable()
        gc.unfreeze()


def test_what_is_imported_ahead_is_there_and_what_cannot_be_stops_nothing():
    ahead(("no_such_module", "wave")).join(20)
    assert "wave" in sys.modules and "no_such_module" not in sys.modules


@pytest.mark.slow
def test_a_video_can_be_begun_without_what_only_files_need():
    """What writes, signs and marks a file is imported while the first steps are sampled."""
    heavy = {
        "PIL",
        "av",
        "kornia",
        "c2pa",
        "cryptography",
        "cv2",
        "onnxruntime",
        "torchsde",
        "aiohttp",
        "torch._dynamo",
    }
    script = (
        "import gc, sys; from sora_core.cli import generate, main\n"
        "import sora_core.pipeline.pipeline\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_command_begins_so():
    script = (
        "import gc, sys; from sora_core.cli import main\n"
        "code = main(['generate', 'a cat', '-o', 'folder/that/is/not/there.txt'])\n"
        "print(code, gc.get_freeze_count() > 0, gc.isenabled(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "True", "True", "True"]
    assert all(isinstance(name, str) for name in generate.SAVING)
