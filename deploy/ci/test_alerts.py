"""Alerts fire when they should, and each has a section in the runbook."""

import os
import re
import subprocess

import pytest
import yaml
from chart import CHART, HERE
from metrics import DOCS, mistakes

PROMTOOL = os.environ["PROMTOOL"]
FILE = CHART / "files" / "alerts.yaml"
RULES = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
NAMES = {rule["alert"] for rule in ALERTS}
RUNBOOK = (DOCS / "runbook.md").read_text()
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
TESTS = yaml.safe_load((HERE / "alerts_test.yaml").read_text())["tests"]
# Recorded series, with their labels, which are the first part of the name.
RECORDED = {rule["record"]: set(rule["record"].split(":")[0].split("_")) for rule in RULES if "record" in rule}


def promtool(*arguments):
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_the_rules():
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(FILE))


def test_alerts_fire_when_they_should_and_not_when_they_should_not():
    promtool("test", "rules", str(HERE / "alerts_test.yaml"))


def test_every_alert_and_severity_has_a_test_in_which_it_fires():
    samples = [sample for test in TESTS for asked in test["promql_expr_test"] for sample in asked["exp_samples"]]
    labels = [dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"])) for sample in samples]
    fired = {(one["alertname"], one["severity"]) for one in labels}
    assert fired == {(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert", "recorded"))
def test_rules_use_existing_metrics_and_labels(rule):
    assert mistakes(rule["expr"], RECORDED) == []


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_severity_and_a_link_to_its_section(rule):
    assert rule["labels"].keys() == {"severity"} and rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert "for" in rule


def test_every_alert_has_a_section_and_every_section_an_alert():
    assert SECTIONS.keys() == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_section_is_complete(name):
    for part in ("Means", "Users notice", "Confirm", "Do", "Escalate"):
        assert f"**{part}**" in SECTIONS[name], part


def test_every_link_in_the_runbook_points_to_a_section():
    assert set(re.findall(r"\(#(\w+)\)", RUNBOOK)) <= {name.lower() for name in NAMES}


def test_every_log_line_in_the_runbook_exists_in_the_source():
    source = "".join(path.read_text() for path in (HERE.parent.parent / "src").rglob("*.rs"))
    lines = re.findall(r"grep '([^']+)'", RUNBOOK) + re.findall(r"^- \*([^*]+)\*:", RUNBOOK, re.MULTILINE)
    assert len(lines) > 20
    assert [line for line in lines if line not in source] == []
