"""The OpenAPI document of the API, generated from the table of its operations and the types of its records."""

import re
from functools import cache
from typing import Any

from msgspec.json import schema_components
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lineshaft import __version__
from lineshaft.web.api.operation import Operation
from lineshaft.web.api.table import OPERATIONS
from lineshaft.web.problem import API, Problem
from lineshaft.web.site import Site

__all__ = ["document", "openapi"]

_TEMPLATE = "#/components/schemas/{name}"

_PARAMETERS: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 200},
    "since": {"type": "string", "description": "milliseconds since 1970, or RFC 3339"},
    "until": {"type": "string", "description": "milliseconds since 1970, or RFC 3339"},
    "order": {"type": "string", "enum": ["oldest", "newest"]},
}


async def openapi(request: Request, site: Site) -> Response:  # noqa: ARG001 - a handler as the others
    """GET /api/v1/openapi.json"""
    return JSONResponse(document())


@cache
def document() -> dict[str, Any]:
    """The whole document."""
    shapes = [shape for each in OPERATIONS for shape in (each.gives, each.takes) if shape is not None]
    schemas, components = schema_components([*shapes, Problem], ref_template=_TEMPLATE)
    by_shape = dict(zip(map(repr, [*shapes, Problem]), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        path = API + operation.path.replace(":path", "")
        paths.setdefault(path, {})[operation.method.lower()] = _described(operation, by_shape)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lineshaft", "version": __version__, "description": "The HTTP API of a job server."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "account": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{"token": []}, {"account": []}],
    }


def _described(operation: Operation, by_shape: dict[str, Any]) -> dict[str, Any]:
    names = re.findall(r"{(\w+)", operation.path)
    described: dict[str, Any] = {
        "operationId": _identifier(operation),
        "summary": operation.told,
        "description": f"Takes the scope `{'admin' if operation.scope == 'act' else operation.scope}`.",
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                for name in names
            ),
            *(
                {"name": name, "in": "query", "schema": _PARAMETERS.get(name, {"type": "string"})}
                for name in operation.query
            ),
        ],
        "responses": {
            str(operation.status): _answer(operation, by_shape),
            "default": {
                "description": "It was not done.",
                "content": {"application/problem+json": {"schema": by_shape[repr(Problem)]}},
            },
        },
    }
    if operation.takes is not None:
        schema = by_shape[repr(operation.takes)]
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _answer(operation: Operation, by_shape: dict[str, Any]) -> dict[str, Any]:
    if operation.gives is None:
        return {"description": "Done, and on disk."}
    schema = by_shape[repr(operation.gives)]
    return {"description": "Done.", "content": {"application/json": {"schema": schema}}}


def _identifier(operation: Operation) -> str:
    words = re.findall(r"\w+", operation.path.replace(":path", ""))
    return "_".join([operation.method.lower(), *words])
