"""The metrics reference is complete, and its queries use existing metrics."""

import re

import pytest
from chart import HERE
from metrics import classes, mistakes, queries, reference, selectors, series, values

SOURCE = HERE.parent.parent / "src"
OWN = re.compile(r'"(keyvault_csi_(?!provider")\w+|keyvault_request|grpc_request)"')
SUFFIX = {"counter": "_total", "info": "_info"}


def words(path, function):
    """The string literals in a function."""
    body = re.search(rf"fn {function}\(.*?\n    }}\n|fn {function}\(.*?\n}}\n", (SOURCE / path).read_text(), re.DOTALL)
    return set(re.findall(r'"([^"]+)"', body[0]))


def test_the_reference_names_every_metric_of_the_source_and_no_other():
    written = {name for path in SOURCE.rglob("*.rs") for name in OWN.findall(path.read_text())}
    named = {name.removesuffix(SUFFIX.get(kind, "")) for name, (kind, _) in reference().items()}
    assert named == written


def test_names_have_the_suffixes_of_openmetrics():
    for name, (kind, _) in reference().items():
        assert name.endswith(SUFFIX.get(kind, "")), name


def test_closed_sets_are_those_of_the_source():
    fetched, exchanged = classes("class")
    assert fetched == words("vault/error.rs", "class") | {"ok"}
    assert exchanged == words("identity/error.rs", "class") | {"ok"}
    assert values()["source"] == words("telemetry/source.rs", "label")
    assert values()["mode"] == words("plan/mode.rs", "name")
    assert values()["object_type"] == words("plan/object.rs", "name")
    assert values()["code"] == values()["grpc_code"] == words("server/provider.rs", "go_name") | {"OK", "Canceled"}
    provider = (SOURCE / "server" / "provider.rs").read_text()
    assert all(f'"{name}"' in provider for name in ("OK", "Canceled", *values()["grpc_method"]))


@pytest.mark.parametrize("document", ["metrics.md", "runbook.md"])
def test_queries_in_the_docs_use_existing_metrics(document):
    for query in queries(document):
        assert mistakes(query) == [], query


def test_every_metric_has_a_query():
    asked = {name for query in queries("metrics.md") for name, _ in selectors(query)}
    known = {name: [one for one in series() if one.startswith(name)] for name in reference()}
    assert [name for name, scraped in known.items() if not asked & set(scraped)] == []


@pytest.mark.parametrize(
    ("query", "mistake"),
    [
        ("sum(keyvault_csi_mount_total)", "keyvault_csi_mount_total: no such metric"),
        ('rate(keyvault_csi_mounts_total{status="OK"}[5m])', "keyvault_csi_mounts_total: no label status"),
        ('keyvault_csi_mounts_total{code=~"OK|INTERNAL"}', "keyvault_csi_mounts_total: code is never 'INTERNAL'"),
        ("sum by (vault) (keyvault_csi_mounts_total)", "no label vault to group by"),
        ("max_over_time(keyvault_csi_cache_byte[5m])", "keyvault_csi_cache_byte: no such metric"),
    ],
)
def test_a_wrong_query_is_found(query, mistake):
    assert mistakes(query) == [mistake]
