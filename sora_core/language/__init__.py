"""Captions of the training world, and the lexicon of the words that they use."""

from .captions import LENGTHS, caption
from .lexicon import Concept, Lexicon, load_lexicon

__all__ = ["LENGTHS", "Concept", "Lexicon", "caption", "load_lexicon"]
