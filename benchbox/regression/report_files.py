"""A comparison with a baseline as a pull-request comment and as JUnit XML."""

import re
import xml.etree.ElementTree as ET
from itertools import accumulate

from benchbox.errors import BenchboxError
from benchbox.regression.comparison import Comparison
from benchbox.regression.report import caption, comparison_table, in_words, verdict_line
from benchbox.tables.as_text import escape_markdown, table_to_markdown
from benchbox.tables.table import Table

_MOST_MARKDOWN = 60_000
"""GitHub takes 65,536 characters in a comment."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_markdown(comparison: Comparison) -> str:
    """Return a comment for a pull request: the verdict, what changed, the rest folded away."""
    mark = "🟢" if comparison.ok else "🔴"
    changed = [*comparison.having("regressed"), *comparison.having("improved")]
    parts = [f"{mark} **{escape_markdown(verdict_line(comparison))}**", ""]
    if changed:
        parts += [*_rows_only(comparison_table(comparison, changed)), ""]
    else:
        parts += [escape_markdown(caption(comparison)), ""]
    table = table_to_markdown(comparison_table(comparison))
    room = _MOST_MARKDOWN - sum(map(len, parts))
    if len(table) > room:
        parts.append("The table of all cells is too long for a comment; see the JUnit file.")
    else:
        parts += [
            f"<details><summary>All {len(comparison.cells)} cells</summary>",
            *("", table, "</details>"),
        ]
    return "\n".join(parts) + "\n"


def to_junit(comparison: Comparison) -> bytes:
    """Return JUnit XML: a test case a cell, a failure where it is red."""
    red = {cell.place for cell in comparison.red}
    count = len(comparison.cells)
    counts = {"tests": str(count), "failures": str(len(red)), "errors": "0", "skipped": "0"}
    name = _xml_text(f"benchbox regress {comparison.baseline.name}")
    root = ET.Element("testsuites", {"name": name, **counts})
    suite = ET.SubElement(root, "testsuite", {"name": name, **counts})
    for cell in comparison.cells:
        place = cell.place
        group = f"{place.backbone}.{place.data}.{place.defense}"
        attack = {"classname": _xml_text(group), "name": _xml_text(place.attack), "time": "0"}
        case = ET.SubElement(suite, "testcase", attack)
        if place in red:
            message = {"message": _xml_text(in_words(cell)), "type": cell.verdict}
            ET.SubElement(case, "failure", message).text = _xml_text(caption(comparison))
        else:
            ET.SubElement(case, "system-out").text = _xml_text(in_words(cell))
    return _as_file(root)


def markdown_of_error(error: BenchboxError) -> str:
    """Return a comment for a pull request that says why nothing was compared."""
    first, *others = str(error).splitlines()
    lines = [f"🔴 **Not compared: {escape_markdown(first)}**"]
    listed = [f"- {escape_markdown(line.strip())}" for line in others]
    room = _MOST_MARKDOWN - len(lines[0])
    kept = [
        line
        for line, end in zip(listed, accumulate(map(len, listed)), strict=True)
        if end + len(listed) < room
    ]
    if len(kept) < len(listed):
        kept.append(f"- and {len(listed) - len(kept)} more")
    return "\n".join([*lines, "", *kept] if kept else lines) + "\n"


def junit_of_error(error: BenchboxError) -> bytes:
    """Return JUnit XML with an error for each reason why nothing was compared."""
    first, *others = str(error).splitlines()
    reasons = [line.strip() for line in others] or [first]
    count = str(len(reasons))
    counts = {"tests": count, "failures": "0", "errors": count, "skipped": "0"}
    root = ET.Element("testsuites", {"name": "benchbox regress", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": "benchbox regress", **counts})
    for reason in reasons:
        named = {"classname": "not compared", "name": _xml_text(reason), "time": "0"}
        case = ET.SubElement(suite, "testcase", named)
        message = {"message": _xml_text(reason), "type": "not compared"}
        ET.SubElement(case, "error", message).text = _xml_text(first)
    return _as_file(root)


def _as_file(root: ET.Element) -> bytes:
    ET.indent(root)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _rows_only(table: Table) -> list[str]:
    """Return a table's Markdown without its title; the caption is kept."""
    return table_to_markdown(table).splitlines()[2:]


def _xml_text(text: str) -> str:
    """Return the text without the characters XML 1.0 has no way to write."""
    return _NOT_XML.sub("�", text)
