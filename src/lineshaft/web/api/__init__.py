"""The HTTP API under `/api/v1`: one table of operations, from which routes and documentation come.

An operation says who may use it: `push` (a token's scope, or an operator), `read` (or any account), `act` (the scope
`admin`, or an operator), `admin` (the scope `admin`, or an admin).
"""
