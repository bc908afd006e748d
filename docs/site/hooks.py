"""What the site has and docs/ has not: the home page, the project's pages, the API reference.

mkdocs calls these functions: https://www.mkdocs.org/user-guide/plugins/#events
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROJECT = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
}
"""Page of the site -> file at the top of the checkout."""
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def faces() -> dict[str, list[str]]:
    """Return each public module with the names in its ``__all__``, read from the source."""
    found: dict[str, list[str]] = {}
    for package in ("dispatch_returns", "dispatch_sandbox"):
        for path in sorted((ROOT / "src" / package).rglob("__init__.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.Assign) and any(
                    isinstance(it, ast.Name) and it.id == "__all__" for it in node.targets
                ):
                    module = ".".join(path.parent.relative_to(ROOT / "src").parts)
                    found[module] = ast.literal_eval(node.value)
    return found


def on_config(config: Any) -> Any:
    """Fill in the parts of the navigation that no line of it names."""
    docs = ROOT / "docs"
    pages = sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))
    named = set(re.findall(r"[\w/-]+\.md", str(config["nav"])))
    parts: dict[str, list[Any]] = {
        "REFERENCE": [{module: f"reference/{module}.md"} for module in faces()],
        "RESOURCES": [page for page in pages if page.startswith("resources/")],
        "DECISIONS": [page for page in pages if page.startswith("decisions/")],
    }
    parts["REST"] = [page for page in pages if "/" not in page and page not in named]

    def filled(entry: Any) -> Any:
        if isinstance(entry, list):
            found: list[Any] = []
            for it in entry:
                found += parts[it] if isinstance(it, str) and it in parts else [filled(it)]
            return found
        if isinstance(entry, dict):
            return {name: filled(it) for name, it in entry.items()}
        return parts.get(entry, entry)

    config["nav"] = filled(config["nav"])
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are not in docs/."""
    from mkdocs.structure.files import File

    for page, source in PROJECT.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for module, names in faces().items():
        members = "".join(f"        - {name}\n" for name in names)
        options = f"    options:\n      members:\n{members}" if names else ""
        content = f"# `{module}`\n\n::: {module}\n{options}"
        files.append(File.generated(config, f"reference/{module}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links between the pages as the site has them; what is only in the checkout is named."""
    own = page.file.src_uri
    folder = (ROOT if own in PROJECT else ROOT / "docs" / Path(own).parent).resolve()
    pages = {(ROOT / source).resolve(): name for name, source in PROJECT.items()}

    def led(match: re.Match[str]) -> str:
        image, text, link = match.groups()
        target, _, anchor = link.partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        path = (folder / target).resolve()
        up = "../" * own.count("/")
        hash_ = f"#{anchor}" if anchor else ""
        if path in pages:
            return f"{image}[{text}]({up}{pages[path]}{hash_})"
        if path.is_relative_to(ROOT / "docs") and path.is_file():
            return f"{image}[{text}]({up}{path.relative_to(ROOT / 'docs').as_posix()}{hash_})"
        return f"{text} (`{path.relative_to(ROOT).as_posix()}` in the checkout)"

    return _LINK.sub(led, markdown)


def on_post_build(config: Any) -> None:
    """Write the Markdown twin of each page, and ``llms.txt``, which lists them for agents."""
    site = Path(config["site_dir"])
    lines = [f"# {config['site_name']}", "", f"> {config['site_description']}", ""]
    sources = {name: ROOT / source for name, source in PROJECT.items()}
    docs = ROOT / "docs"
    sources |= {path.relative_to(docs).as_posix(): path for path in sorted(docs.rglob("*.md"))}
    for name, source in sources.items():
        text = source.read_text(encoding="utf-8")
        (site / name).write_text(text, encoding="utf-8")
        title = next((it[2:] for it in text.splitlines() if it.startswith("# ")), name)
        lines.append(f"- [{title}]({name})")
    (site / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
