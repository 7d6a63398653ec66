// Package result is what a scenario leaves for docs/compatibility.md.
package result

// Result is the result of one scenario, one line of JSON in results.jsonl.
type Result struct {
	// Scenario is the name of the test.
	Scenario string `json:"scenario"`
	// Kubernetes is the version of the API server and of kubelet.
	Kubernetes string `json:"kubernetes"`
	// Versions are the drivers, and the Go provider, that were installed.
	Versions []string `json:"versions"`
	Passed   bool     `json:"passed"`
}
