"""A Flask backend with the receiver mounted.

    dispatch-returns sandbox                    # in another terminal; export what it prints
    dispatch-returns setup --webhook-url http://127.0.0.1:5000/webhooks/dispatch
    export DISPATCH_WEBHOOK_SECRET=whsec_...    # printed by setup
    flask --app examples/flask_app run

Then, in another terminal: python examples/make_return.py 149.00

Flask has no lifespan, so the workers start with the first request of each process, also under
gunicorn, and drain at its end. `flask --app examples/flask_app routes` starts none. A process
that is sent no request for days keeps no time: run `dispatch-returns worker` beside it.
"""

from __future__ import annotations

from flask import Flask

from dispatch_returns import Connector, webhooks


def create_app() -> Flask:
    """Return the shop's application."""
    connector = Connector.from_env()
    app = Flask(__name__)
    app.register_blueprint(webhooks.flask.blueprint(connector), url_prefix="/webhooks")
    webhooks.flask.start_with_first_request(connector)
    return app
