"""The command ``sandbox``: a local Dispatch API and Stripe, until it is stopped."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dispatch_returns.cli import (
    Json,
    Verbatim,
    WriteEnv,
    append_env,
    cannot_listen,
    show,
    stop_signals,
    warn,
)
from dispatch_returns.errors import ConfigurationError
from dispatch_sandbox import extra

if TYPE_CHECKING:
    from dispatch_sandbox.server import Sandbox

_LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})


def sandbox(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8420,
    file: Annotated[
        Path | None, typer.Option(help="Keep what is in it in this file. Default: in memory.")
    ] = None,
    write_env: WriteEnv = None,
    json: Json = False,
) -> None:
    """Run a local Dispatch API and Stripe, for tests.

    It is a test double and moves no money.
    Prints the variables that point everything here at it.
    """
    with stop_signals() as stop, _running(host, port, file) as box:
        environment = environment_of(box)
        if write_env is not None:
            append_env(write_env, environment)
        document = {"url": box.url, "api_url": box.api_url, "environment": environment}
        if write_env is None:
            given, option = [f"export {name}={value}" for name, value in environment.items()], ""
        else:
            given, option = [f"The variables are in {write_env}."], f" --env-file {write_env}"
        made = "makes the workflow's statuses and fields in it"
        show(
            document,
            f"The sandbox is at {box.url}. It is a test double and moves no money.",
            "Open that address in a browser to see what is in it.",
            "",
            "To use it from another terminal:",
            Verbatim(given),
            "",
            f"There, `dispatch-returns setup{option}` {made}.",
            "Ctrl-C stops it.",
            as_json=json,
        )
        if host not in _LOCAL:
            warn(f"{host} can be reached by others: this is a test double, and its key is public")
        stop.wait()
    raise typer.Exit(stop.code)


def environment_of(box: Sandbox) -> dict[str, str]:
    """Return the variables that point this package at `box`."""
    from dispatch_sandbox import adyen, braintree, checkout_com, klarna, mollie, square
    from dispatch_sandbox.paypal import CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID
    from dispatch_sandbox.shops import SHOPIFY_TOKEN, WOO_KEY, WOO_SECRET
    from dispatch_sandbox.state import WORKSPACE
    from dispatch_sandbox.stripe import API_KEY as STRIPE_KEY

    return {
        "DISPATCH_API_KEY": box.state.api_key,
        "DISPATCH_WORKSPACE": WORKSPACE,
        "DISPATCH_BASE_URL": box.api_url,
        "STRIPE_API_KEY": STRIPE_KEY,
        "STRIPE_BASE_URL": box.url,
        "PAYPAL_CLIENT_ID": CLIENT_ID,
        "PAYPAL_CLIENT_SECRET": CLIENT_SECRET,
        "PAYPAL_WEBHOOK_ID": WEBHOOK_ID,
        "PAYPAL_BASE_URL": box.state.paypal.base_url,
        "ADYEN_API_KEY": adyen.API_KEY,
        "ADYEN_MERCHANT_ACCOUNT": adyen.MERCHANT_ACCOUNT,
        "ADYEN_HMAC_KEY": adyen.HMAC_KEY,
        "ADYEN_BASE_URL": box.state.adyen.base_url,
        "SHOPIFY_SHOP": box.url,
        "SHOPIFY_ACCESS_TOKEN": SHOPIFY_TOKEN,
        "WOOCOMMERCE_URL": box.url,
        "WOOCOMMERCE_KEY": WOO_KEY,
        "WOOCOMMERCE_SECRET": WOO_SECRET,
        "MOLLIE_API_KEY": mollie.API_KEY,
        "MOLLIE_WEBHOOK_SECRET": mollie.WEBHOOK_SECRET,
        "MOLLIE_BASE_URL": box.state.mollie.base_url,
        "BRAINTREE_MERCHANT_ID": braintree.MERCHANT_ID,
        "BRAINTREE_PUBLIC_KEY": braintree.PUBLIC_KEY,
        "BRAINTREE_PRIVATE_KEY": braintree.PRIVATE_KEY,
        "BRAINTREE_BASE_URL": box.state.braintree.base_url,
        "CHECKOUT_COM_SECRET_KEY": checkout_com.SECRET_KEY,
        "CHECKOUT_COM_WEBHOOK_SECRET": checkout_com.WEBHOOK_SECRET,
        "CHECKOUT_COM_BASE_URL": box.state.checkout_com.base_url,
        "SQUARE_ACCESS_TOKEN": square.ACCESS_TOKEN,
        "SQUARE_BASE_URL": box.state.square.base_url,
        "KLARNA_USERNAME": klarna.USERNAME,
        "KLARNA_PASSWORD": klarna.PASSWORD,
        "KLARNA_BASE_URL": box.state.klarna.base_url,
        # A database belongs to one workspace and one processor account: the live one's is another.
        "DISPATCH_RETURNS_DATABASE_URL": "sqlite:///dispatch-returns-sandbox.db",
    }


@contextlib.contextmanager
def _running(host: str, port: int, file: Path | None) -> Generator[Sandbox]:
    extra.require()
    from dispatch_sandbox.server import running

    with contextlib.ExitStack() as stack:
        try:
            box = stack.enter_context(
                running(host=host, port=port, file=file, expose=host not in _LOCAL)
            )
        except OSError as error:
            raise cannot_listen(host, port, error) from None
        except sqlite3.Error as error:
            raise ConfigurationError(f"{file} cannot be used: {error}") from None
        yield box
