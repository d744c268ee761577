"""What the shop does in the background."""

from outbox.database import with_database

from lineshaft import Jobs
from shop.models import Order

jobs = Jobs()


@jobs.job(retry=5)
@with_database
def confirm(order_id: int) -> None:
    Order.objects.filter(id=order_id).update(confirmed=True)


@jobs.job(run="process", keep_result=True)
@with_database
def count_confirmed() -> int:
    return Order.objects.filter(confirmed=True).count()
