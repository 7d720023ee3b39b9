"""That the document is one, and that the check of every other test's answers can fail. See openapi.py."""

import jsonschema
import openapi
import pytest

PROBLEM = {
    "type": "urn:squall:problem:not-found", "title": "not found", "status": 404, "code": "not-found", "detail": "no such path",
}  # fmt: skip


def check_faults(body, status=200, content_type="application/json"):
    openapi.check("GET", "/v1/faults", status, content_type, body)


@pytest.mark.parametrize("name", openapi.DOCUMENT["components"]["schemas"])
def test_each_schema_is_a_json_schema(name):
    jsonschema.Draft202012Validator.check_schema(openapi.COMPONENTS["schemas"][name])


def test_each_example_is_what_its_schema_says():
    schemas = openapi.DOCUMENT["components"]["schemas"]
    for example in openapi.DOCUMENT["components"]["examples"].values():
        openapi.check("GET", "/v1/sessions/s-0000000000000001", 200, "application/json", example["value"])
    for example in schemas["InjectionClaims"]["examples"]:
        schema = {"components": openapi.DOCUMENT["components"], "$ref": "#/components/schemas/InjectionClaims"}
        jsonschema.Draft202012Validator(schema).validate(example)


def test_an_undocumented_member_is_noticed():
    with pytest.raises(AssertionError, match="extra"):
        check_faults({"faults": [], "extra": 1})


def test_an_undocumented_status_is_noticed():
    with pytest.raises(AssertionError, match="418"):
        check_faults({}, status=418)


def test_an_undocumented_content_type_is_noticed():
    with pytest.raises(AssertionError, match="text/plain"):
        check_faults("", content_type="text/plain")


def test_an_undocumented_path_may_only_be_refused():
    openapi.check("GET", "/nowhere", 404, "application/problem+json", PROBLEM)
    with pytest.raises(AssertionError):
        openapi.check("GET", "/nowhere", 200, "application/json", {})


def test_every_documented_read_without_a_token_answers_as_documented(agent):
    for path, methods in openapi.DOCUMENT["paths"].items():
        for method, operation in methods.items():
            if method in ("get", "head") and operation.get("security") == []:
                # Checked where it is received.
                assert agent.tenant.call(method.upper(), path).status == 200
    assert agent.tenant.call("GET", "/nowhere").status == 404
    assert agent.tenant.call("PUT", "/v1/faults").status == 405
