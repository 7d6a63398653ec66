package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyvault-csi-provider.test/cluster/compatibility/result"
)

func TestANameBecomesASentence(t *testing.T) {
	for name, want := range map[string]string{
		"TestAPodReadsItsPassword":              "A pod reads its password",
		"TestTheAPIServerMayBeAway":             "The API server may be away",
		"TestDriver16Rotates":                   "Driver 16 rotates",
		"TestARunningClusterMovesFromGoAndBack": "A running cluster moves from Go and back",
		"TestTheDriverMakesASecretForAVariable": "The driver makes a Secret for a variable",
		"TestARefusalOfEntraIsInThePodsEvents":  "A refusal of Entra is in the pods events",
	} {
		if got := sentence(name); got != want {
			t.Errorf("sentence(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestTheTableSaysWhatWasInstalledAndWhatWasNotRun(t *testing.T) {
	got := table([]result.Result{
		{Scenario: "TestOne", Kubernetes: "1.34.4", Versions: []string{"driver 1.5.6", "driver 1.6.0"}, Passed: true},
		{Scenario: "TestTwo", Kubernetes: "1.37.2", Versions: []string{"driver 1.6.0"}, Passed: true},
		{Scenario: "TestZero", Kubernetes: "1.34.4", Passed: true},
	}, time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC))
	want := "\nRun on 2026-11-27.\n\n| scenario | Kubernetes 1.34.4 | Kubernetes 1.37.2 |\n| --- | --- | --- |\n" +
		"| One | driver 1.5.6, driver 1.6.0 | not run |\n| Two | not run | driver 1.6.0 |\n| Zero | without a driver | not run |\n\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestADocumentThatLacksAScenarioOrHasOneTooManyIsRefused(t *testing.T) {
	document := filepath.Join(t.TempDir(), "compatibility.md")
	text := begin + table([]result.Result{{Scenario: "TestOneThing", Kubernetes: "1", Passed: true}}, time.Now()) + end
	if err := os.WriteFile(document, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for names, words := range map[string]string{
		"TestOneThing\n":              "",
		"TestOneThing\nTestAnother\n": `does not have the scenario "Another"`,
		"":                            `has the row "One thing"`,
	} {
		err := check(document, strings.NewReader(names))
		if (err == nil) != (words == "") || err != nil && !strings.Contains(err.Error(), words) {
			t.Errorf("check with the names %q: %v, want %q", names, err, words)
		}
	}
}
