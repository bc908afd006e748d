"""A Flask backend with the receiver mounted.

    dispatch-returns sandbox --write-env shop.env       # in another terminal
    dispatch-returns setup --env-file shop.env --write-env shop.env \\
        --webhook-url http://127.0.0.1:5000/webhooks/dispatch
    set -a; . ./shop.env; set +a                        # in each terminal
    flask --app flask_app run

Then, in another terminal: python make_return.py 149.00

Flask has no lifespan, so the workers start with the first request of each process, also under
gunicorn, and drain at its end. `flask --app flask_app routes` starts none. A process
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
