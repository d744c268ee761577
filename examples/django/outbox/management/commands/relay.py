"""`manage.py relay`: pushes what is in the outbox."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from lineshaft import LineshaftError
from outbox.push import relay


class Command(BaseCommand):
    help = "Push the jobs in the outbox to the job server."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when the outbox is empty")
        parser.add_argument("--every", type=float, default=0.5, help="seconds between looks at an empty outbox")

    def handle(self, *_: Any, once: bool, every: float, **__: Any) -> None:
        while True:
            try:
                seen = relay()
            except (LineshaftError, OSError) as error:
                # Nothing was deleted; the rows are pushed when the server is there again.
                if once:
                    raise
                self.stderr.write(f"the job server does not answer: {error}")
                seen = 0
            if not seen:
                if once:
                    return
                time.sleep(every)
