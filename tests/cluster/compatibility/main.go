// Command compatibility writes docs/compatibility.md from the results of scenarios, or checks that the document names
// every scenario.
//
//	compatibility write DOCUMENT RESULTS...    results.jsonl of each Kubernetes version
//	compatibility check DOCUMENT < NAMES       names of all scenarios, one per line
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"keyvault-csi-provider.test/cluster/compatibility/result"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "compatibility:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) >= 3 && arguments[0] == "write":
		return write(arguments[1], arguments[2:])
	case len(arguments) == 2 && arguments[0] == "check":
		return check(arguments[1], os.Stdin)
	}
	return fmt.Errorf("usage: compatibility write DOCUMENT RESULTS... | compatibility check DOCUMENT < NAMES")
}

// write replaces the table of the document. The text around it stays.
func write(document string, files []string) error {
	results, err := read(files)
	if err != nil {
		return err
	}
	for _, result := range results {
		if !result.Passed {
			return fmt.Errorf("%s failed on Kubernetes %s: the document is left unchanged", result.Scenario, result.Kubernetes)
		}
	}
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	before, after, err := around(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	return os.WriteFile(document, []byte(before+table(results, time.Now())+after), 0o644)
}

const begin, end = "<!-- begin results -->\n", "<!-- end results -->\n"

// around is the text up to and including the first marker, and from the second one on.
func around(text string) (before, after string, err error) {
	before, rest, begins := strings.Cut(text, begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return "", "", fmt.Errorf("the markers %q and %q are missing", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin, end + after, nil
}

func read(files []string) ([]result.Result, error) {
	var results []result.Result
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		decoder := json.NewDecoder(file)
		for {
			var one result.Result
			if err := decoder.Decode(&one); err == io.EOF {
				break
			} else if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			results = append(results, one)
		}
	}
	return results, nil
}

// table has a row for each scenario and a column for each Kubernetes version; a cell says what was installed.
func table(results []result.Result, date time.Time) string {
	var versions, scenarios []string
	cells := map[string]string{}
	for _, result := range results {
		if !slices.Contains(versions, result.Kubernetes) {
			versions = append(versions, result.Kubernetes)
		}
		if !slices.Contains(scenarios, result.Scenario) {
			scenarios = append(scenarios, result.Scenario)
		}
		cell := strings.Join(result.Versions, ", ")
		if cell == "" {
			cell = "without a driver"
		}
		cells[result.Scenario+result.Kubernetes] = cell
	}
	slices.Sort(scenarios)
	var text strings.Builder
	fmt.Fprintf(&text, "\nRun on %s.\n\n| scenario |", date.Format(time.DateOnly))
	for _, version := range versions {
		fmt.Fprintf(&text, " Kubernetes %s |", version)
	}
	text.WriteString("\n| --- |" + strings.Repeat(" --- |", len(versions)) + "\n")
	for _, scenario := range scenarios {
		fmt.Fprintf(&text, "| %s |", sentence(scenario))
		for _, version := range versions {
			cell, ran := cells[scenario+version]
			if !ran {
				cell = "not run"
			}
			fmt.Fprintf(&text, " %s |", cell)
		}
		text.WriteString("\n")
	}
	text.WriteString("\n")
	return text.String()
}

// check fails unless the document has a row for each name, and no row without a name.
func check(document string, names io.Reader) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	var rows []string
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| ") && len(cells) > 1 {
			rows = append(rows, strings.TrimPrefix(cells[0], "| "))
		}
	}
	lines := bufio.NewScanner(names)
	for lines.Scan() {
		row := sentence(lines.Text())
		index := slices.Index(rows, row)
		if index < 0 {
			return fmt.Errorf("%s does not have the scenario %q: run tests/cluster/run --all", document, row)
		}
		rows = slices.Delete(rows, index, index+1)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	// What is left are the heads of tables.
	for _, row := range rows {
		if row != "scenario" && row != "---" {
			return fmt.Errorf("%s has the row %q, but there is no such scenario: run tests/cluster/run --all", document, row)
		}
	}
	return nil
}

var (
	acronymEnds = regexp.MustCompile(`([A-Z]+)([A-Z][a-z])`)
	wordEnds    = regexp.MustCompile(`([a-z0-9])([A-Z])|([a-z])([0-9])`)
	capitals    = regexp.MustCompile(`^([A-Z]{2,}|Azure|Entra|External|Go|Helm|Kubernetes|Secrets?|Velero)$`)
)

// sentence is the promise that the name of a test makes: TestAPodReadsIt is "A pod reads it".
func sentence(name string) string {
	spaced := acronymEnds.ReplaceAllString(strings.TrimPrefix(name, "Test"), "$1 $2")
	words := strings.Fields(wordEnds.ReplaceAllString(spaced, "$1$3 $2$4"))
	for index, word := range words {
		if index > 0 && !capitals.MatchString(word) {
			words[index] = strings.ToLower(word)
		}
	}
	return strings.Join(words, " ")
}
