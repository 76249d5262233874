"""Whether two versions of a model or macro say the same to the warehouse.

dbt compares the text of a file, comments and blanks included. What is compared here is the text
without them. Where that could be wrong, two versions are different: a model too many is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import sqlglot
from jinja2 import Environment, TemplateSyntaxError
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

_JINJA = Environment(autoescape=True)  # Splits text into tags and the rest; it renders nothing.
_TAG = "firn_jinja_tag_{}_"
_TAGS = re.compile(r"firn_jinja_tag_(\d+)_")
_COMMENT = re.compile(r"(?s)/\*.*?\*/|(?:--|//)[^\n]*")
_QUOTED = {TokenType.STRING, TokenType.IDENTIFIER, TokenType.RAW_STRING, TokenType.HEREDOC_STRING}
_CAPTURES = {"macro", "test", "materialization", "call", "filter"}

Meaning = list[tuple[str, str]]


def same_meaning(one: str, other: str) -> bool:
    """Whether two texts of a model, test or macro differ in comments and blanks only."""
    return one == other or meaning(one) == meaning(other)


def meaning(code: str) -> Meaning:
    """What is left of a text without its comments and blanks.

    Text that a macro or a block gives to others keeps its lines, as they may be what is used. A
    comment stays that has a tag of Jinja in it or, by such a block's end, may reach beyond it.

    Args:
        code: SQL with Jinja, as it stands in a file.

    Returns:
        Kind and text of each part. The text as it is, if it cannot be taken apart.
    """
    try:
        text, tags, captures = _without_jinja(code)
        tokens = sqlglot.tokenize(text, read="snowflake")
    except (TemplateSyntaxError, SqlglotError):
        return [("text", code)]
    if any(_holds_statement(token, tags) for token in tokens):
        # A quote is opened in one branch and closed in another: who knows what is a comment.
        return [("text", code)]
    found: Meaning = []
    end = 0
    for token in tokens:
        gap = text[end : token.start]
        tag = _TAGS.match(token.text)
        ends = tag is not None and tags[int(tag[1])].startswith("{%")
        found += _comments(gap, ends_in_block=captures and ends)
        if captures and found and (blank := _COMMENT.sub("", gap)):
            found.append(("blank", "\n" if "\n" in blank else " "))
        found.append((token.token_type.name, token.text))
        end = token.end + 1
    found += _comments(text[end:], ends_in_block=False)
    return [(kind, _TAGS.sub(lambda tag: tags[int(tag[1])], part)) for kind, part in found]


def _without_jinja(code: str) -> tuple[str, list[str], bool]:
    """The text with a word for each tag, the tags, and whether a block's text is used elsewhere.

    Jinja's comments are gone, and so are the blanks that tags with a hyphen take away.
    """
    text: list[str] = []
    tags: list[str] = []
    open_tag: list[str] | None = None
    captures = in_comment = False
    for _, kind, value in _JINJA.lex(code):
        if kind == "comment_begin":
            in_comment = True
        elif kind == "comment_end":
            in_comment = False
        elif in_comment or kind == "whitespace":
            continue
        elif kind in {"block_begin", "variable_begin"}:
            open_tag = [value.strip()]
        elif kind in {"block_end", "variable_end"} and open_tag is not None:
            open_tag.append(value.strip())
            captures = captures or _captures(open_tag)
            text.append(_TAG.format(len(tags)))
            tags.append(" ".join(open_tag))
            open_tag = None
        elif open_tag is not None:
            open_tag.append(value)
        else:
            text.append(value)
    if open_tag is not None or in_comment:
        raise TemplateSyntaxError("a tag that does not end", 1)
    return "".join(text), tags, captures


def _captures(tag: list[str]) -> bool:
    if not tag[0].startswith("{%"):
        return False
    return tag[1] in _CAPTURES or (tag[1] == "set" and "=" not in tag)


def _holds_statement(token: Token, tags: list[str]) -> bool:
    return token.token_type in _QUOTED and any(
        tags[int(number)].startswith("{%") for number in _TAGS.findall(token.text)
    )


def _comments(gap: str, *, ends_in_block: bool) -> Iterator[tuple[str, str]]:
    """The comments between two parts that matter."""
    for comment in _COMMENT.finditer(gap):
        is_last_line = not comment[0].startswith("/*") and not gap[comment.end() :].strip()
        if _TAGS.search(comment[0]) or (ends_in_block and is_last_line):
            yield "comment", comment[0]
