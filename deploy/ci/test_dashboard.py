"""Every query of the Grafana dashboard uses existing metrics, and every panel is described."""

import json
import re

import pytest
from chart import CHART
from metrics import grouping, mistakes, reference, selectors, series

DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def queries(panel):
    return [target["expr"] for target in panel["targets"]]


def test_the_variables_are_source_cluster_node_and_vault():
    assert list(VARIABLES) == ["datasource", "cluster", "instance", "vault"]
    for variable in list(VARIABLES.values())[1:]:
        query, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
        assert label == variable["name"] and mistakes(query) == []
        assert variable["datasource"] == SOURCE and variable["definition"] == variable["query"]["query"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_uses_existing_metrics_of_the_selected_nodes(panel):
    for query in queries(panel):
        assert mistakes(query) == [], query
        assert 'cluster=~"$cluster"' in query and 'instance=~"$instance"' in query
        assert ('vault=~"$vault"' in query) == ("keyvault_csi_vault_" in query)
    for target in panel["targets"]:
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= grouping(target["expr"])


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_has_a_description_and_a_unit(panel):
    assert panel["description"].endswith(".") and panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == SOURCE


def test_every_metric_is_shown():
    shown = {name for panel in PANELS for query in queries(panel) for name, _ in selectors(query)}
    known = {name: [one for one in series() if one.startswith(name)] for name in reference()}
    assert [name for name, scraped in known.items() if not shown & set(scraped)] == []


def test_panels_do_not_overlap_and_fit_the_width():
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


def test_panels_have_no_ids_from_a_grafana_instance():
    assert "id" not in DASHBOARD
    assert not [panel["title"] for panel in DASHBOARD["panels"] if "id" in panel]
