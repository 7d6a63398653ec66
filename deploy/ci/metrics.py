"""The metrics and labels in docs/metrics.md, and those that a query uses."""

import functools
import re

import promql_parser
from chart import HERE

DOCS = HERE.parent.parent / "docs"
# Labels that Prometheus and cluster operators add.
TARGET = {"cluster", "job", "instance"}
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}


@functools.cache
def tables():
    """The tables of the reference by header; a row is a list of cells."""
    found, head = {}, None
    for line in (DOCS / "metrics.md").read_text().splitlines():
        if not line.startswith("| "):
            head = None
        elif head is None:
            head = line
            found.setdefault(head, [])
        elif not line.startswith("| ---"):
            found[head].append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def rows(head):
    (table,) = (table for title, table in tables().items() if title.startswith(f"| {head} |"))
    return table


def names(cell):
    """The words in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


@functools.cache
def reference():
    """All metrics: type, and labels."""
    return {names(metric)[0]: (kind, set(names(labels))) for metric, kind, labels, _ in rows("metric")}


@functools.cache
def classes(table):
    """The closed set that is the first column of the (one or two) tables with this head, in their order."""
    text = (DOCS / "metrics.md").read_text()
    blocks = re.findall(rf"^\| {table} \|.*\n\| --- .*\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [{names(row)[0] for row in block.splitlines()} for block in blocks]


@functools.cache
def values():
    """The values of each label that has a closed set."""
    sets = {label: set(names(row[1])) for row in rows("label") for label in names(row[0])}
    fetched, exchanged = classes("class")
    (served,) = classes("source")
    closed = {name: sets[name] for name in ("code", "grpc_code", "grpc_method", "object_type", "mode")}
    return closed | {"source": served, "error": fetched - {"ok"} | {""}, "outcome": fetched | exchanged}


@functools.cache
def series():
    """The labels of every series that a scrape may return."""
    found = {"up": set()}
    for name, (kind, labels) in reference().items():
        for suffix in SUFFIXES.get(kind, ("",)):
            found[name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


def queries(document):
    """The queries of a page, one per line."""
    blocks = re.findall(r"^```promql\n(.*?)^```$", (DOCS / document).read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def parse(query):
    """The query's syntax tree; Grafana's variables are text, except for the duration."""
    return promql_parser.parse(query.replace("$__rate_interval", "5m"))


def selectors(query):
    """The metrics that a query uses, each with its matchers."""
    found = []

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name, [(one.name, str(one.op), one.value) for one in node.matchers.matchers]))

    promql_parser.walk(parse(query), visit)
    return found


def grouping(query):
    """The labels that a query groups and joins by."""
    found = set()

    def visit(node):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            found.update(node.modifier.labels)
        if isinstance(node, promql_parser.BinaryExpr) and node.modifier and node.modifier.matching:
            found.update(node.modifier.matching.labels)

    promql_parser.walk(parse(query), visit)
    return found


def mistakes(query, recorded=()):
    """The metrics, labels and values in a query that do not exist."""
    found, seen = [], set()
    for name, matchers in selectors(query):
        if name in recorded:
            seen |= recorded[name]
            continue
        if name not in series():
            found.append(f"{name}: no such metric")
            continue
        known = series()[name] | TARGET
        seen |= known
        for label, op, value in matchers:
            if label not in known:
                found.append(f"{name}: no label {label}")
            elif label in values() and not value.startswith("$"):
                wanted = set(value.split("|")) if op.endswith("Re") else {value}
                found += [f"{name}: {label} is never {one!r}" for one in sorted(wanted - values()[label])]
    return found + [f"no label {label} to group by" for label in sorted(grouping(query) - seen)]
