"""A table as LaTeX, in the booktabs style."""

import re
from itertools import groupby

from benchbox.tables.table import Table, TableCell

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "→": r"$\rightarrow$",
    "−": r"$-$",
    "∞": r"$\infty$",
    "·": r"\textperiodcentered{}",
    "–": "--",
    "\n": " ",
}


def escape_latex(text: str) -> str:
    """Return the text as LaTeX prints it literally."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def table_to_latex(table: Table) -> str:
    """Return a ``table*`` environment for packages booktabs, multirow and graphicx."""
    columns = "l" * table.label_columns + "c" * (table.width - table.label_columns)
    label = re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-")
    lines = [
        r"% \usepackage{booktabs,multirow,graphicx}",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{escape_latex(table.title)}. {escape_latex(table.caption)}}}",
        rf"\label{{tab:{label}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *_header(table),
        r"\midrule",
        *_body(table),
        r"\bottomrule",
        r"\end{tabular}%",
        "}",
        r"\end{table*}",
        "",
    ]
    return "\n".join(lines)


def _header(table: Table) -> list[str]:
    lines: list[str] = []
    for level, row in enumerate(table.header):
        below = table.header_row(level + 1)
        texts, rules, column = [], [], 1
        for cell in row:
            text, last = escape_latex(cell.text), column + cell.columns - 1
            if cell.columns > 1:
                text = rf"\multicolumn{{{cell.columns}}}{{c}}{{{text}}}"
                rules.append(rf"\cmidrule(lr){{{column}-{last}}}")
            elif text and below and not below[column - 1]:
                text = rf"\multirow{{{len(table.header) - level}}}{{*}}{{{text}}}"
            texts.append(text)
            column = last + 1
        lines.append(" & ".join(texts) + r" \\")
        if rules and below:
            lines.append(" ".join(rules))
    return lines


def _body(table: Table) -> list[str]:
    lines: list[str] = []
    for index, row in enumerate(table.rows):
        known = table.new_from(index)
        if index and known < table.group_columns:
            rule = rf"\cmidrule(l){{{known + 1}-{table.width}}}"
            lines.append(rule if known else r"\midrule")
        labels = [
            _label(table, index, column) if column >= known else ""
            for column in range(table.group_columns)
        ]
        values = [_value(cell) for cell in row[table.group_columns :]]
        lines.append(" & ".join([*labels, *values]) + r" \\")
    return lines


def _label(table: Table, index: int, column: int) -> str:
    """Return a group's name, as tall as the group is."""
    names = (table.group_of(row)[: column + 1] for row in table.rows[index:])
    name, same = next(groupby(names))
    height = sum(1 for _ in same)
    text = escape_latex(name[column])
    return rf"\multirow{{{height}}}{{*}}{{{text}}}" if height > 1 else text


def _value(cell: TableCell) -> str:
    text = escape_latex(cell.text)
    return rf"\textbf{{{text}}}" if cell.bold else text
