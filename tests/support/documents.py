"""Commands as the documents show them."""

import re

from tiny import ROOT


def blocks(document):
    """Blocks of shell commands, without `uv run`; a command that goes on is one line."""
    text = re.sub(r" *\\\n *", " ", document.read_text())
    found = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return [re.sub(r"uv run (--extra \w+ )?", "", block) for block in found]


def block(document, first):
    """The block of shell commands that begins with this one, without `uv run`."""
    (text,) = [text for text in blocks(ROOT / document) if text.startswith(first)]
    return text


def lines_of(commands):
    lines = [line.partition("  #")[0].strip() for line in commands.splitlines()]
    return [line for line in lines if line and not line.startswith("# ")]
