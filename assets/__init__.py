"""The storyteller that comes with tinytales, its checkpoint, and small word lists.

Read with `importlib.resources.files("tinytales.assets")`.
"""
