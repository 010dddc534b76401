"""Texts in, training tokens out: read, clean, label, render and pack stories.

    tinytales corpus build --recipe corpus-originals --out runs/corpus

The way of a story, one module a step: `recipe` names the sources, `readers` streams their
documents, `clean` mends or drops them, `duplicates` drops what was seen, `labels` derives what a
prompt may ask, `tokenizer` learns the vocabulary, `build` writes the folder that the trainer opens.
"""

from tinytales.errors import TinytalesError


class CorpusError(TinytalesError):
    """A text that cannot be read, a recipe that cannot be built, a folder that is in the way."""
