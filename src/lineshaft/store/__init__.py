"""Ordered bytes: the port and its adapters."""
