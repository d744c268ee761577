"""A client for producers and simple workers: blocking, one connection, no threads.

>>> from lineshaft.client import Client
>>> with Client("tcp://localhost:7419") as client:  # doctest: +SKIP
...     client.push({"jobtype": "SendMail", "args": [42]})
"""

from lineshaft.client.client import Client
from lineshaft.client.url import Address, find_address, parse_url

__all__ = ["Address", "Client", "find_address", "parse_url"]
