"""What schemathesis cannot find in docs/openapi.yaml: that each request is a token, signed for it alone."""

import json
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import schemathesis  # noqa: E402
from api import Tenant  # noqa: E402
from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: E402

told = json.loads(os.environ["SQUALL_SIGNER"])
tenant = Tenant("shop", told["node"], None)
tenant.key, tenant.key_id = load_pem_private_key(told["key"].encode(), None), told["kid"]
OPERATIONS = {
    ("POST", "/v1/sessions"): "inject", ("POST", "/v1/plans"): "plan", ("GET", "/v1/sessions"): "read",
    ("GET", "/v1/sessions/{id}"): "read", ("GET", "/v1/sessions/{id}/events"): "read",
    ("DELETE", "/v1/sessions/{id}"): "end", ("POST", "/v1/sessions/{id}/lease"): "renew",
    ("GET", "/v1/groups/{id}"): "read", ("DELETE", "/v1/groups/{id}"): "end", ("POST", "/v1/groups/{id}/lease"): "renew",
}  # fmt: skip


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = OPERATIONS.get((case.method.upper().replace("HEAD", "GET"), case.path))
    # Where it leaves the token out, that is what it wants to see refused; now and then one that it has made up itself.
    if not operation or "Authorization" not in (case.headers or {}) or random.random() < 0.2:
        return
    more = {}
    if operation in ("inject", "plan"):
        more = {"fault": "cpu-throttle", "target": told["target"], "parameters": {"percent": 90}, "duration": "1s"}
    elif "{id}" in case.path:
        more = {"group" if case.path.startswith("/v1/groups") else "session": str(case.path_parameters.get("id", ""))}
    case.headers["Authorization"] = f"Bearer {tenant.token(operation, **more)}"
