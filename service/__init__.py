"""The service: keeps comments, queues them, decides, and shows them to moderators. create_app() puts it together."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, redirect, render_template, url_for

from . import api, auth, cli, config, database, demo, desk, errors, health, jobs, openapi
from .auth import public

# Only what we serve may run or load; nothing may frame the desk.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def create_app(**overrides: Any) -> Flask:
    """Make the WSGI application; settings come from the environment, `overrides` win.

    Raises ConfigError if a setting is missing or wrong.
    """
    app = Flask(__name__)
    app.config.update(config.load(**overrides))
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = app.config["MAX_BODY_BYTES"]
    app.json.sort_keys = False
    app.url_map.converters["reference"] = api.ReferenceConverter
    app.url_map.merge_slashes = False  # A site's own references may have slashes anywhere.
    database.init_app(app)
    jobs.init_app(app)
    auth.init_app(app)
    errors.init_app(app, page=lambda problem: render_template("problem.html", problem=problem))
    for blueprint in (api.blueprint, openapi.blueprint, health.blueprint, desk.blueprint):
        app.register_blueprint(blueprint)
    if app.config["DEMO"]:
        app.register_blueprint(demo.blueprint)
    cli.init_app(app)
    app.view_functions["static"] = public("Style sheets and scripts hold nothing secret.")(app.view_functions["static"])

    @app.get("/")
    @public("It only leads to the desk's sign-in.")
    def index() -> Response:
        return redirect(url_for("desk.queue"))

    @app.after_request
    def secure(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return app
