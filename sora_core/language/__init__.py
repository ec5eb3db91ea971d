"""Captions of the training world, the lexicon of the words that they use, and prompts read and told in these words."""

from .captions import LENGTHS, caption
from .lexicon import Concept, Lexicon, load_lexicon

__all__ = ["LENGTHS", "Concept", "Lexicon", "caption", "load_lexicon"]
