"""As little as Django needs; FAKTORY_URL says where the job server is."""

import os
from pathlib import Path

SECRET_KEY = "for this example only"
INSTALLED_APPS = ["outbox", "shop"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", str(Path(__file__).parent / "shop.sqlite3")),
        "OPTIONS": {"timeout": 20},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
