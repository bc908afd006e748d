"""``notifications preview|check``."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dispatch_returns.cli import common
from dispatch_returns.cli.output import Json, Table, show
from dispatch_returns.errors import NotificationError

if TYPE_CHECKING:
    from dispatch_returns.returns.notifications.rendering import Templates

app = typer.Typer(help="Preview and check the messages to customers.", no_args_is_help=True)


@app.command()
def preview(
    *,
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    language: Annotated[str | None, typer.Option(help="One language, such as de.")] = None,
    templates: Annotated[Path | None, typer.Option(help="Your own templates.")] = None,
    shop: Annotated[str, typer.Option(help="The name they are signed with.")] = "Your shop",
    json: Json = False,
) -> None:
    """Write every notification about a made-up return to files.

    With a page that shows them all.
    """
    from dispatch_returns.returns.notifications.notification import NotificationKind, sample
    from dispatch_returns.returns.notifications.rendering import Templates

    found = Templates(shop=shop, folder=templates)
    if language is not None and language not in found.languages:
        raise typer.BadParameter(f"there are templates for {', '.join(found.languages)}")
    sections: list[str] = []
    for code in [language] if language else found.languages:
        for kind in NotificationKind:
            message = found.render_strictly(sample(kind, code))
            common.write(out / code / f"{kind}.txt", f"{message.subject}\n\n{message.text}")
            common.write(out / code / f"{kind}.html", message.html)
            shown = {"subject": html.escape(message.subject), "text": html.escape(message.text)}
            sections.append(_SECTION.format(kind=kind, code=code, **shown))
    index = out / "index.html"
    common.write(index, _INDEX.format(sections="\n".join(sections)))
    document = {"index": str(index), "notifications": len(sections)}
    show(document, f"Wrote {len(sections)} notifications. Open {index}", as_json=json)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Your own templates.")], *, json: Json = False
) -> None:
    """Try your templates on every case.

    With all the facts that a return can have, and with none. Exits with 1 if one fails.
    """
    from dispatch_returns.returns.notifications.rendering import Templates

    problems = problems_of(Templates(folder=folder), folder)
    rows = [(problem,) for problem in problems]
    show(
        {"ok": not problems, "problems": problems},
        Table(("problem",), rows, empty="All templates are fine."),
        as_json=json,
    )
    raise typer.Exit(1 if problems else 0)


def problems_of(templates: Templates, folder: Path) -> list[str]:
    """Return what is wrong with the templates in a merchant's folder."""
    from dispatch_returns.returns.notifications.notification import NotificationKind, every_case

    found: dict[str, None] = {}
    for code in templates.languages:
        for kind in NotificationKind:
            for notification in every_case(kind, code):
                try:
                    templates.render_strictly(notification)
                except NotificationError as error:
                    found[str(error)] = None
    known = {"layout", "words", "_parts", *NotificationKind}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.name.startswith(".") and file.stem not in known:
            found[f"{file.relative_to(folder)} is not the template of any notification"] = None
    return list(found)


_SECTION = """<section>
<h2>{code} / {kind} <a href="{code}/{kind}.html">HTML</a> <a href="{code}/{kind}.txt">text</a></h2>
<p><b>Subject:</b> {subject}</p>
<div><iframe src="{code}/{kind}.html" title="{code} {kind}" sandbox></iframe><pre>{text}</pre></div>
</section>"""
_INDEX = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Notifications</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px;
padding: 0 1rem; }}
section {{ margin: 2rem 0; }}
h2 {{ font-size: 1.1rem; margin: 0; }}
h2 a {{ font-size: .85rem; font-weight: normal; margin-left: .75rem; }}
p {{ margin: .25rem 0 .5rem; }}
section > div {{ display: grid; grid-template-columns: 3fr 2fr; gap: 1rem; }}
iframe {{ width: 100%; height: 560px; border: 1px solid #d1d5db; border-radius: 8px; }}
pre {{ margin: 0; padding: 1rem; background: #f9fafb; border: 1px solid #d1d5db;
border-radius: 8px; white-space: pre-wrap; overflow: auto; height: 528px; }}
</style>
</head>
<body>
<h1>Notifications to customers</h1>
<p>About a made-up return.</p>
{sections}
</body>
</html>
"""
