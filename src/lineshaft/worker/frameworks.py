"""Frameworks that want to be set up before a project's modules can be imported: in the worker, and in its children.

Django's models can be imported when `django.setup()` has run. `manage.py` does that; `lineshaft work` and a child
process, which is a fresh interpreter, do it when the environment names the settings, as under `manage.py` it does.
"""

import os
from importlib import import_module

__all__ = ["set_up_frameworks"]


def set_up_frameworks() -> None:
    """Set up what the environment says that there is; idempotent. What the settings raise passes through."""
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        return
    try:
        django, registry = import_module("django"), import_module("django.apps")
    except ImportError:
        # The variable is left from elsewhere.
        return
    if not registry.apps.ready:
        django.setup()
