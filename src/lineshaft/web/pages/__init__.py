"""What stands at each address: a module per page, with what its buttons do, and for machines `/health` and `/metrics`.

Each handler has the request and the site; which answers which path is in `app`.
"""
