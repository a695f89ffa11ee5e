"""Schemathesis over the OpenAPI document: whatever fits the schema is answered, and as the schema says."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from remembrandt.store import users
from remembrandt.store.store import Store

schemathesis = pytest.importorskip("schemathesis")
EXAMPLES = 6  # of each operation
TINY = {
    "/generate": {"size": "64x64", "steps": 1, "num_images": 1},
    "/v1/images/generations": {"size": "64x64", "steps": 1, "n": 1},
    "/v1/images/edits": {"n": 1}, "/v1/images/variations": {"n": 1},
}  # fmt: skip
PLAIN = ("task", "target_model", "identifier", "image", "mask", "expand", "strength", "mix", "edit", "sampler")
PLAIN = (*PLAIN, "webhook")


def small(case, asked: int) -> None:
    """What fits the schema may be a thousand steps of sixty-four pictures: here it is a step of a small one, which
    every other time a painter that is there is asked for.
    """
    path, body = case.operation.path, case.body
    if path in TINY and isinstance(body, dict):
        named = body.get("model") or body.get("target_model")  # which nobody may be called
        body |= {**TINY[path], **({"model": "small"} if asked % 2 or not named else {})}
        if isinstance(body.get("prompt"), list):
            body["prompt"] = body["prompt"][:2]
        for name in PLAIN if asked % 2 else ():
            body.pop(name, None)
    elif path.endswith("predictions") and isinstance(body, dict) and isinstance(body.get("input"), dict):
        body["input"] |= {"num_inference_steps": 1, "width": 64, "height": 64, "num_outputs": 1}


def test_the_whole_api(server):
    from schemathesis.checks import not_a_server_error

    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json", timeout=120)
    token = users.add(Store(server.home), "fuzz")[1]
    headers, asked = {"authorization": f"Bearer {token}"}, []
    how = {"max_examples": EXAMPLES, "deadline": None, "database": None, "derandomize": True}
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(**how, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def one(case):
            small(case, len(asked))
            answer = case.call(headers=headers, timeout=120)
            case.validate_response(answer, checks=[not_a_server_error])
            asked.append((case.operation.path, answer.status_code))
            if answer.status_code >= 400:
                told = answer.json()
                assert told["status"] == answer.status_code and told["code"] and told["title"], answer.text

        one()
    paths = {path for path, _ in asked}
    assert paths == set(server.app.openapi()["paths"]) and len(asked) > 200
    assert ("/generate", 200) in asked and ("/v1/images/generations", 200) in asked  # some were painted
