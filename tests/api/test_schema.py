"""Schemathesis over the OpenAPI document: whatever fits the schema is answered, and as the schema says.

Routes that paint are left to `test_hostile`: what fits their schema may be a thousand steps of sixty-four pictures.
"""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

schemathesis = pytest.importorskip("schemathesis")
PAINTS = ("/generate", "/v1/images/", "/v1/predictions", "/v1/models/{owner}/{name}/predictions")


def test_the_whole_api(server):
    from schemathesis.checks import not_a_server_error

    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    headers, asked = {"authorization": f"Bearer {server.tokens['bob']}"}, []
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.startswith(PAINTS) or operation.path.endswith("/events"):
            continue

        @settings(max_examples=1, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def one(case):
            answer = case.call(headers=headers)
            case.validate_response(answer, checks=[not_a_server_error])
            asked.append(answer.status_code)

        one()
    assert len(asked) > 50
