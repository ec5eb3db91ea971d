"""Captions from facts: short, medium and highly descriptive ones, in English and Chinese.

Recaptioning as in DALL-E 3 (Betker et al. 2023): a model learns a prompt's facts best from captions that name all of
them, yet has to follow short prompts too, so training mixes the lengths. Every caption is true to the facts, and every
word that it uses is in the lexicon. What differs from the ordinary (a camera move, rain, a second subject, an event) is
always said, in short captions too, so that silence means the ordinary.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import expect
from .composer import Composer
from .phrases_en import English
from .phrases_zh import Chinese

LENGTHS = ("short", "medium", "long")
_LANGUAGES: dict[str, type[Composer]] = {"en": English, "zh": Chinese}


def caption(facts: dict[str, Any], rng: np.random.Generator, language: str = "en", length: str = "short") -> str:
    """Compose one caption of a clip's facts (see `sora_core.training.world`), drawn with `rng` from many templates.

    Raises SoraError for a language other than "en" and "zh" or a length outside LENGTHS.
    """
    expect(language in _LANGUAGES, f"no captions in language {language!r}. Use one of: {', '.join(_LANGUAGES)}.")
    expect(length in LENGTHS, f"no captions of length {length!r}. Use one of: {', '.join(LENGTHS)}.")
    return _LANGUAGES[language](facts, rng, length).compose()
