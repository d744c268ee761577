"""Lineshaft: a language-agnostic background job server. One engine, every machine."""

__version__ = "0.1.0"

__all__ = ["__version__"]
