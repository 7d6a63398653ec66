package cluster

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"keyvault-csi-provider.test/cluster/compatibility/result"
)

// record appends the scenario's result to results.jsonl in the folder of logs; docs/compatibility.md is made of these.
func (s *scenario) record() {
	s.noteVersions()
	text, err := json.Marshal(result.Result{
		Scenario: s.t.Name(), Kubernetes: s.version, Versions: s.versions, Passed: !s.t.Failed(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(s.Logs(), "results.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(append(text, '\n')); err != nil {
		s.t.Fatal(err)
	}
}

// noteVersions remembers which driver, and whether the Go provider, is on the node now.
func (s *scenario) noteVersions() {
	images, err := s.Kubectl("", "get", "daemonsets", "--namespace="+kubeSystem,
		"--output=jsonpath={.items[*].spec.template.spec.containers[*].image}")
	if err != nil {
		return
	}
	for _, image := range strings.Fields(images) {
		repository, tag, _ := strings.Cut(path.Base(image), ":")
		name := map[string]string{"driver": "driver", "provider-azure": "Go provider"}[repository]
		if entry := name + " " + strings.TrimPrefix(tag, "v"); name != "" && !slices.Contains(s.versions, entry) {
			s.versions = append(s.versions, entry)
		}
	}
}
