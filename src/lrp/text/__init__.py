"""Relevance of a text's tokens and words, for a model with its tokenizer."""

from lrp.text.explained import TextRelevance, explain_text
from lrp.text.pieces import Piece

__all__ = ["Piece", "TextRelevance", "explain_text"]
