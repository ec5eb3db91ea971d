"""Our text encoder as a native CLIP."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import comfy.sd
import comfy.supported_models_base
import torch
from torch import Tensor

from ...model.text.concepts import TextConfig, TextEncoder, Tokenizer, Vocabulary
from ...model.text.emphasis import encode_ids, plain_text, weighted_ids

KEY = "sora"  # of our tokens among those that a CLIP holds


class ComfyTextEncoder(TextEncoder):
    """The text encoder with the methods that `comfy.sd.CLIP` calls."""

    def __init__(
        self,
        config: TextConfig,
        vocabulary: Vocabulary,
        dtype: torch.dtype,
        device: torch.device | str | None = None,
        model_options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(config, vocabulary)
        self.to(device=device, dtype=dtype)
        self.dtypes = {dtype}

    def set_clip_options(self, options: dict[str, Any]) -> None:
        """Take no options: there is no layer to choose and nothing to project."""

    def reset_clip_options(self) -> None:
        """Take none back."""

    def encode_token_weights(self, tokens: dict[str, Any]) -> tuple[Tensor, None, dict[str, Any]]:
        """Encode what the tokenizer gave to a context `[B,L,D]`, no pooled output, and options of the conditioning."""
        rows = tokens[KEY]
        context = torch.cat([encode_ids(self, row) for row in rows])
        # Marked when empty: a sampler refuses a positive prompt that asks for nothing.
        return context.float().cpu(), None, {"sora_empty": not any(rows)}

    def load_sd(self, state: dict[str, Tensor]) -> Any:
        """Load weights, and say which are missing or unknown."""
        return self.load_state_dict(state, strict=False)


def tokenizer_for(config: TextConfig, vocabulary: Vocabulary) -> type:
    """Make the class that `comfy.sd.CLIP` makes a tokenizer of, which it gives no vocabulary."""

    class ComfyTokenizer:
        """The tokenizer with the methods that `comfy.sd.CLIP` calls."""

        def __init__(self, embedding_directory: Any = None, tokenizer_data: dict[str, Any] | None = None) -> None:
            self.tokenizer = Tokenizer(vocabulary)

        def tokenize_with_weights(
            self, text: str, return_word_ids: bool = False, **options: Any
        ) -> dict[str, list[list[tuple]]]:
            """Turn a prompt into one row of (token id, weight), with the place of the word if asked for."""
            pairs = weighted_ids(self.tokenizer, text, config.length)
            return {KEY: [[(*pair, i + 1) for i, pair in enumerate(pairs)] if return_word_ids else pairs]}

        def known_words(self) -> Collection[str]:
            """List the words that the model knows."""
            return self.tokenizer.vocabulary.surfaces

        def unknown_words(self, text: str) -> list[str]:
            """List the words of a prompt that the model has never seen."""
            return self.tokenizer.unknown_words(plain_text(text))

        def untokenize(self, pairs: list[tuple]) -> list[tuple]:
            """Return tokens as they are."""
            return pairs

        def state_dict(self) -> dict[str, Any]:
            """Hold nothing: the vocabulary is the encoder's."""
            return {}

    return ComfyTokenizer


def make_clip(config: TextConfig, vocabulary: Vocabulary, state: dict[str, Tensor]) -> Any:
    """Make a CLIP with the weights `state`."""
    target = comfy.supported_models_base.ClipTarget(tokenizer_for(config, vocabulary), ComfyTextEncoder)
    target.params = {"config": config, "vocabulary": vocabulary}
    # It is small, and half precision would make its contexts differ from those of the embedded host.
    clip = comfy.sd.CLIP(target, model_options={"dtype": torch.float32})
    clip.cond_stage_model.load_state_dict(state)
    return clip
