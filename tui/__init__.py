"""The terminal app that families use."""
