"""Markdown (CommonMark with tables, footnotes and front matter) by way of HTML. Runs in the scribe.

The library makes HTML of it, which is read as any other. Raw HTML within it is read piece by piece, so that a tag
that somebody forgot to close takes no more than its own block with it.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from voiced.text.blocks import assemble, chapters_by_headings, make_block
from voiced.text.document import Document, language_tag, one_line
from voiced.text.html import read_blocks
from voiced.text.markup import parse_html

if TYPE_CHECKING:
    from markdown_it.token import Token

_INLINE_KEPT = re.compile(r"</?(?:br|sup|sub|ruby|rb|rt|rp|a|q)\b[^>]*>", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n[ \t]*\n")
_MOST_PARAGRAPH_CHARS = 100_000
"""Beyond it nobody has written Markdown, and the library's time grows with the square: it is read as it stands."""
_MOST_FRONT_MATTER_CHARS = 1 << 16


def read_markdown(text: str, title: str) -> Document:
    """Return the document in a text of Markdown.

    Args:
        text: Decoded and cleaned.
        title: For a document that has none.

    Raises:
        DocumentRefused: If it cannot be read.
    """
    if max(map(len, _BLANK_LINES.split(text))) > _MOST_PARAGRAPH_CHARS:
        return Document(title, text)
    html, facts = _render(text)
    root = parse_html(html)
    manuscript = assemble(() if root is None else read_blocks(root))
    if not manuscript.text and _has_text(text):  # it is nested beyond what the library reads, or no Markdown
        manuscript = assemble([make_block([text])])
    first = [place.title for level, place in manuscript.headings if level == 1]
    own = one_line(facts.get("title")) or (first[0] if len(first) == 1 else "")
    return Document(
        own or title,
        manuscript.text,
        chapters_by_headings(manuscript, own or title),
        one_line(facts.get("author")),
        language_tag(facts.get("language")),
    )


def _has_text(text: str) -> bool:
    root = parse_html(text)
    return root is not None and any(block.text for block in read_blocks(root))


def _render(text: str) -> tuple[str, Mapping[str, str]]:
    """Return a text as HTML, and what its front matter says."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.footnote import footnote_plugin
    from mdit_py_plugins.front_matter import front_matter_plugin

    reader = (
        MarkdownIt("commonmark", {"maxNesting": 100})
        .enable("table")
        .use(front_matter_plugin)
        .use(footnote_plugin)
    )
    reader.add_render_rule("html_block", _html_block)
    reader.add_render_rule("html_inline", _html_inline)
    tokens = reader.parse(text)
    front = next((token.content for token in tokens if token.type == "front_matter"), "")
    html: str = reader.renderer.render(tokens, reader.options, {})
    return html, _facts(front)


def _html_block(_renderer: object, tokens: "Sequence[Token]", index: int, *_: object) -> str:
    root = parse_html(tokens[index].content)
    if root is None:
        return ""
    parts = []
    for block in read_blocks(root):
        name = f"h{block.level}" if block.level else "p"
        lines = "<br>".join(escape(line) for line in block.text.split("\n"))
        parts.append(f"<{name}>{lines}</{name}>\n")
    return "".join(parts)


def _html_inline(_renderer: object, tokens: "Sequence[Token]", index: int, *_: object) -> str:
    content = tokens[index].content
    return content if _INLINE_KEPT.fullmatch(content) else ""


def _facts(front: str) -> Mapping[str, str]:
    """Return title, author and language of front matter; what is no YAML says nothing."""
    import yaml

    try:
        # All scalars are strings here: nothing is made of what somebody wrote.
        said: Any = yaml.load(front[:_MOST_FRONT_MATTER_CHARS], yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    by_name = {str(name).lower(): value for name, value in said.items()}
    authors = by_name.get("author", by_name.get("authors", by_name.get("creator")))
    return {
        "title": _text(by_name.get("title")),
        "author": ", ".join(filter(None, map(_text, authors if isinstance(authors, list) else [authors]))),
        "language": _text(by_name.get("language", by_name.get("lang"))),
    }


def _text(value: object) -> str:
    if isinstance(value, dict):  # {name: ..., affiliation: ...}, {text: ..., type: main}
        value = value.get("name", value.get("text"))
    return value if isinstance(value, str) else ""
