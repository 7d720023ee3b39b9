"""docs/openapi.yaml as a witness: every answer that the tests get must be one that the document promises.

Stricter than the document itself, which lets later versions add members: a member that it does not name is an error.
"""

import copy
import re
from pathlib import Path

import jsonschema
import yaml

DOCUMENT = yaml.safe_load((Path(__file__).parents[2] / "docs/openapi.yaml").read_text())

# What has been looked at and found right.
SEEN = set()


def closed(schema):
    """The schema, refusing members that it does not name wherever it names any."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    if "properties" in schema and schema.get("type") == "object":
        schema.setdefault("additionalProperties", False)
    return schema


COMPONENTS = closed(copy.deepcopy(DOCUMENT["components"]))


def resolved(element):
    while "$ref" in element:
        found = DOCUMENT
        for part in element["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        element = found
    return element


def operation(method, path):
    """The path's description and the operation's; the operation is None where the path has no such method."""
    path = path.partition("?")[0]
    for template, item in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", template), path):
            return template, item.get(method.lower())
    return None, None


def shape(value):
    """All that a schema says of a value but how large its numbers are. Words are kept."""
    if isinstance(value, dict):
        return frozenset((name, shape(each)) for name, each in value.items())
    if isinstance(value, list):
        return frozenset(map(shape, value))
    if isinstance(value, str):
        # Of digits, which may be any, one stands for all.
        return re.sub("[0-9a-f]*[0-9][0-9a-f]*", "0", value)
    if value is None or isinstance(value, bool):
        return type(value), value
    return type(value), value < 0


def validate(schema, components, value, where):
    """Looks at each shape once: an emulated machine takes long to look at a report."""
    key = where, shape(value)
    if key not in SEEN:
        jsonschema.Draft202012Validator({"components": components, **schema}).validate(value)
        SEEN.add(key)


def check(method, path, status, content_type, body):
    """Raises AssertionError when the document does not promise this answer."""
    template, described = operation(method, path)
    if described is None:
        # Not in the document: a problem, whatever the path or method.
        assert status in (400, 404, 405, 431, 503), f"{method} {path} is not documented, and answers {status}"
        content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    else:
        responses = described["responses"]
        response = responses.get(str(status)) or responses.get("default")
        assert response, f"{method} {template} answers {status}, which docs/openapi.yaml does not name"
        content = resolved(response).get("content", {})
    if method == "HEAD" or not content:
        assert body in (None, [], ""), f"{method} {path} has a body: {body}"
        return
    assert content_type in content, f"{method} {path} answers {status} as {content_type}, not as one of {list(content)}"
    for each in body if content_type == "application/x-ndjson" else [body]:
        try:
            schema = closed(content[content_type]["schema"])
            validate(schema, COMPONENTS, each, (method, template, status, content_type))
        except jsonschema.ValidationError as error:
            where = "/".join(map(str, error.absolute_path))
            raise AssertionError(f"{method} {path} answers {status}, but {where or 'the body'}: {error.message}") from error


def check_claims(claims):
    """Of a token that was accepted."""
    validate({"$ref": "#/components/schemas/TokenClaims"}, DOCUMENT["components"], claims, "claims")
