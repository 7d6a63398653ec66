package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestTheApiServerAcceptsEveryManifestOfTheExamples(t *testing.T) {
	notCore(t)
	s := begin(t, standard())
	files, err := filepath.Glob("../../examples/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	namespaces, manifests := map[string]bool{"default": true, kubeSystem: true}, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !apiVersion.Match(text) {
			continue // Values of a chart.
		}
		manifests++
		for _, match := range namespaceOfObject.FindAllSubmatch(text, -1) {
			if name := string(match[1]); !namespaces[name] {
				namespaces[name] = true
				s.namespace(name)
			}
		}
		output, err := s.Kubectl("", "apply", "--dry-run=server", "--filename="+file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if count := strings.Count(output, "(server dry run)"); count != len(apiVersion.FindAll(text, -1)) {
			t.Errorf("%s: the API server has looked at %d objects of %d:\n%s", file, count, len(apiVersion.FindAll(text, -1)), output)
		}
	}
	if manifests < 10 {
		t.Errorf("only %d manifests of the examples were found", manifests)
	}
}

var (
	apiVersion        = regexp.MustCompile(`(?m)^apiVersion:`)
	namespaceOfObject = regexp.MustCompile(`(?m)^  namespace: (\S+)$`)
)

func TestThePrometheusOperatorsDefinitionsAcceptPodMonitorAndRules(t *testing.T) {
	notCore(t)
	s := begin(t)
	definitions := environment("PROMETHEUS_OPERATOR_CRDS")
	for _, name := range []string{"podmonitors", "prometheusrules"} {
		file := filepath.Join(definitions, "monitoring.coreos.com_"+name+".yaml")
		// Too large for the annotation of a client-side apply.
		s.kubectl("apply", "--server-side", "--filename="+file)
		t.Cleanup(func() { s.kubectl("delete", "--filename="+file) })
		s.kubectl("wait", "--for=condition=Established", "crd/"+name+".monitoring.coreos.com", "--timeout="+patience.String())
	}
	s.provider(t, standard(`monitoring:
  scrape: podMonitor
  labels: {release: prometheus}
  alerts: {enabled: true}
  dashboard: {enabled: true}
`))
	// The objects must be gone before their definitions.
	t.Cleanup(func() {
		if err := s.uninstall(); err != nil {
			t.Error(err)
		}
	})
	port := s.kubectl("get", "podmonitors", "--namespace="+kubeSystem, "--selector=release=prometheus",
		"--output=jsonpath={.items[*].spec.podMetricsEndpoints[*].port}")
	if port != "metrics" {
		t.Errorf("the PodMonitor names the port %q", port)
	}
	alerts := strings.Fields(s.kubectl("get", "prometheusrules", "--namespace="+kubeSystem, "--selector=release=prometheus",
		"--output=jsonpath={.items[*].spec.groups[*].rules[*].alert}"))
	text, err := os.ReadFile(filepath.Join(chartOfProvider, "files", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Count(string(text), "alert: "); want == 0 || len(alerts) != want {
		t.Errorf("the PrometheusRule holds the alerts %v, want %d", alerts, want)
	}
}

func TestPodSecurityKeepsTheProviderOutOfNamespacesThatForbidHostPath(t *testing.T) {
	notCore(t)
	s := begin(t, standard())
	for _, level := range []string{"baseline", "restricted"} {
		namespace := "security-" + level
		s.namespace(namespace, "pod-security.kubernetes.io/enforce="+level)
		// Under another name, since the standard one is there already; without waiting, since no pod will come.
		s.shell(fmt.Sprintf("helm install provider %s --namespace %s --set secrets-store-csi-driver.install=false "+
			"--set providerName=%s --set linux.hostNetwork=false --set linux.image.repository=%s",
			"deploy/charts/keyvault-csi-provider", namespace, level, imageOfRegistry))
		t.Cleanup(func() {
			if _, err := s.runHelm("uninstall", "provider", "--namespace", namespace); err != nil {
				t.Error(err)
			}
		})
		s.until(func() error {
			events := s.kubectl("get", "events", "--namespace="+namespace, "--field-selector=reason=FailedCreate",
				"--output=jsonpath={.items[*].message}")
			for _, text := range []string{`violates PodSecurity "` + level, `volume "provider-vol"`, "hostPath"} {
				if !strings.Contains(events, text) {
					return fmt.Errorf("the events of the DaemonSet do not say %q: %s", text, events)
				}
			}
			return nil
		})
	}
}
