"""`manage.py work shop.jobs ...`: `lineshaft work`, with Django set up."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from lineshaft.cli.work import work


class Command(BaseCommand):
    help = "Run a worker; the words are those of `lineshaft work`."

    def run_from_argv(self, argv: list[str]) -> None:
        sys.exit(work(argv[2:], command=[sys.executable, *argv[:2]]))

    def handle(self, *args: Any, **_: Any) -> None:
        sys.exit(work(args))
