"""One prompt means one thing: weights in it are read by Python and the nodes alike."""

from __future__ import annotations

import torch

import sora_core
from sora_core.model.text.emphasis import encode_prompt
from sora_core.pipeline.make import encode_prompts

WEIGHED = "a (cat:1.5) on a beach"


def test_python_reads_weights_as_the_nodes_do():
    pipe = sora_core.load()
    made = encode_prompts(pipe.engine, pipe.loaded.clip, WEIGHED).positive
    assert torch.equal(made[0][0], encode_prompt(pipe.text, WEIGHED))
    plain = encode_prompts(pipe.engine, pipe.loaded.clip, "a cat on a beach").positive
    assert not torch.equal(made[0][0], plain[0][0])
    assert pipe.unknown_words(WEIGHED) == []


def test_nobody_stands_in_for_what_a_negative_prompt_names():
    pipe = sora_core.load()
    made = encode_prompts(pipe.engine, pipe.loaded.clip, "a wolf in a meadow", "an alligator, a cat")
    notes = " ".join(made.notes)
    assert "a wolf (drawn as a dog)" in notes and "an alligator (the nearest that it can: a dinosaur)" in notes
