"""/health: whether this process can do its work, for load balancers and monitors."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, json
from redis import RedisError

from . import jobs, queries
from .auth import public
from .errors import Unavailable
from .tables import utc_now

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
@public("A monitor has no key; it tells states and ages, and nothing about any comment.")
def health() -> Response:
    """Answer 200 while comments can be kept, 503 otherwise; the body says what else is not well.

    Without Redis or a worker comments are still kept, so that is "degraded", and still 200.
    """
    state = {"status": "ok", "database": "ok", "redis": "ok", "workers": 0, "oldest_pending_seconds": 0.0}
    try:
        oldest = queries.oldest_pending()
        state["oldest_pending_seconds"] = round((utc_now() - oldest).total_seconds(), 3) if oldest else 0.0
    except Unavailable:
        state |= {"status": "down", "database": "down"}
    try:
        state["workers"] = len(jobs.live_workers(current_app.extensions["redis"], current_app.config["QUEUE"]))
    except RedisError:
        state["redis"] = "down"
    if state["status"] == "ok" and (state["redis"] == "down" or not state["workers"]):
        state["status"] = "degraded"
    return Response(json.dumps(state), 503 if state["status"] == "down" else 200, {"Cache-Control": "no-store"},
                    content_type="application/json")
