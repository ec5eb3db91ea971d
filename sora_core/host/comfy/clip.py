"""Our text encoder as a native CLIP."""

from __future__ import annotations

import comfy.sd
import comfy.supported_models_base
import torch
from torch import Tensor

from ...model.text.concepts import TextConfig, TextEncoder, Tokenizer, Vocabulary
from ...model.text.emphasis import encode_ids, plain_text, weighted_ids

KEY = "sora"


class ComfyTextEncoder(TextEncoder):
    def __init__(
        self, config: TextConfig, vocabulary: Vocabulary, dtype: torch.dtype, device=None, model_options=None
    ) -> None:
        super().__init__(config, vocabulary)
        self.to(device=device, dtype=dtype)
        self.dtypes = {dtype}

    def set_clip_options(self, options: dict) -> None:
        """No layer to choose and nothing to project."""

    def reset_clip_options(self) -> None: ...

    def encode_token_weights(self, tokens: dict) -> tuple[Tensor, None, dict]:
        rows = tokens[KEY]
        context = torch.cat([encode_ids(self, row) for row in rows])
        return context.float().cpu(), None, {"sora_empty": not any(rows)}

    def load_sd(self, state: dict[str, Tensor]):
        return self.load_state_dict(state, strict=False)


def tokenizer_for(config: TextConfig, vocabulary: Vocabulary):
    """The factory that `comfy.sd.CLIP` calls for a tokenizer."""

    class ComfyTokenizer:
        def __init__(self, embedding_directory=None, tokenizer_data=None) -> None:
            self.tokenizer = Tokenizer(vocabulary)

        def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **_) -> dict:
            pairs = weighted_ids(self.tokenizer, text, config.length)
            return {KEY: [[(*pair, i + 1) for i, pair in enumerate(pairs)] if return_word_ids else pairs]}

        def unknown_words(self, text: str) -> list[str]:
            return self.tokenizer.unknown_words(plain_text(text))

        def untokenize(self, pairs: list) -> list:
            return pairs

        def state_dict(self) -> dict:
            return {}

    return ComfyTokenizer


def make_clip(config: TextConfig, vocabulary: Vocabulary, state: dict[str, Tensor]) -> comfy.sd.CLIP:
    target = comfy.supported_models_base.ClipTarget(tokenizer_for(config, vocabulary), ComfyTextEncoder)
    target.params = {"config": config, "vocabulary": vocabulary}
    # It is small, and half precision would make the two hosts differ.
    clip = comfy.sd.CLIP(target, model_options={"dtype": torch.float32})
    clip.cond_stage_model.load_state_dict(state)
    return clip
