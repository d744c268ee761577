"""`manage.py order ADDRESS`: an order and its confirmation, both or neither."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from outbox.push import push_in_transaction

from shop.jobs import confirm
from shop.models import Order


class Command(BaseCommand):
    help = "Order something."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address")

    def handle(self, *_: Any, address: str, **__: Any) -> None:
        with transaction.atomic():
            order = Order.objects.create(address=address)
            push_in_transaction(confirm.job(order.id))
        self.stdout.write(f"order {order.id}")
