package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"keyvault-csi-provider.test/cluster/node"
)

const (
	// patience bounds every wait of a scenario. The machine has two cores for a whole cluster.
	patience = 3 * time.Minute
	interval = 250 * time.Millisecond
)

// scenario is one test with namespaces of its own on the shared node.
type scenario struct {
	*cluster
	t *testing.T
	// expected matches the warnings that the provider should log in this scenario.
	expected   []*regexp.Regexp
	namespaces []string
	// versions are the drivers, and the Go provider, that the scenario has had.
	versions []string
}

// begin starts a scenario on the node with these releases installed, and no other. At its end nothing of it may be left: no pod, no
// volume mounted below kubelet's folder, and no warning in the provider's log that the scenario does not expect.
func begin(t *testing.T, wanted ...installation) *scenario {
	t.Helper()
	s := &scenario{cluster: the, t: t}
	the.provider(t, wanted...)
	s.noteVersions()
	mark := the.logs.mark()
	t.Cleanup(func() {
		if t.Failed() {
			s.report()
		}
		s.deleteNamespaces()
		s.checkUnmounted()
		s.checkLog(the.logs.since(mark, providerPods))
		s.record()
	})
	return s
}

// notCore skips a scenario that not every change must pass, where only the core scenarios are asked for.
func notCore(t *testing.T) {
	t.Helper()
	if os.Getenv("CLUSTER_CORE") != "" {
		t.Skip("not a core scenario; tests/cluster/run without --core runs it")
	}
}

// namespace creates a namespace that is deleted when the scenario ends.
func (s *scenario) namespace(name string, labels ...string) {
	s.t.Helper()
	s.namespaces = append(s.namespaces, name)
	if name == "default" {
		return
	}
	s.kubectl("create", "namespace", name)
	for _, label := range labels {
		s.kubectl("label", "namespace", name, label)
	}
}

// kubectl runs kubectl, which must succeed, and returns what it prints.
func (s *scenario) kubectl(arguments ...string) string {
	s.t.Helper()
	output, err := s.Kubectl("", arguments...)
	if err != nil {
		s.t.Fatal(err)
	}
	return output
}

// apply applies a manifest.
func (s *scenario) apply(manifest string) {
	s.t.Helper()
	if output, err := s.Kubectl(manifest, "apply", "--filename=-"); err != nil {
		s.t.Fatalf("%v\n%s", err, output)
	}
}

// applyFiles applies manifests of the repository, unchanged; paths are relative to the repository's top folder.
func (s *scenario) applyFiles(paths ...string) {
	s.t.Helper()
	for _, path := range paths {
		s.kubectl("apply", "--filename=../../"+path)
	}
}

// shell runs the commands of a document as a user would, in the repository's top folder, and returns what they print.
func (s *scenario) shell(commands string) string {
	s.t.Helper()
	command := exec.Command("bash", "-euo", "pipefail", "-c", commands)
	command.Dir, command.Env = "../..", s.userEnvironment()
	var errors strings.Builder
	command.Stderr = &errors
	output, err := command.Output()
	if err != nil {
		s.t.Fatalf("%v\n%s%s\n--- the commands:\n%s", err, output, errors.String(), commands)
	}
	return string(output)
}

// until polls until the check succeeds.
func (s *scenario) until(check func() error) {
	s.t.Helper()
	if err := waitFor(patience, check); err != nil {
		s.t.Fatal(err)
	}
}

func waitFor(timeout time.Duration, check func() error) error {
	deadline := time.Now().Add(timeout)
	for {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %s: %w", timeout, err)
		}
		time.Sleep(interval)
	}
}

// expectWarnings says which warnings the provider should log, as regular expressions.
func (s *scenario) expectWarnings(patterns ...string) {
	for _, pattern := range patterns {
		s.expected = append(s.expected, regexp.MustCompile(pattern))
	}
}

// checkLog fails the scenario for each warning or error in the provider's log that it does not expect, and for each
// expected one that is not there.
func (s *scenario) checkLog(lines []string) {
	seen := make([]bool, len(s.expected))
	for _, line := range lines {
		matched := false
		for index, pattern := range s.expected {
			if pattern.MatchString(line) {
				seen[index], matched = true, true
			}
		}
		if !matched && severity.MatchString(line) {
			s.t.Errorf("the provider logs a warning that this scenario does not expect: %s", line)
		}
	}
	for index, pattern := range s.expected {
		if !seen[index] {
			s.t.Errorf("the provider should log a warning that matches %s", pattern)
		}
	}
}

// severity matches lines of a level above INFO, as text or JSON.
var severity = regexp.MustCompile(`\b(WARN|ERROR)\b`)

// deleteNamespaces deletes what the scenario created. Pods get one second to end, since most do not react to SIGTERM; so
// they are not left to the garbage collector, which gives them the time that their manifest says.
func (s *scenario) deleteNamespaces() {
	for _, name := range s.namespaces {
		commands := [][]string{
			{"delete", "deployments,daemonsets,statefulsets,replicasets,jobs", "--all", "--cascade=orphan"},
			{"delete", "pods", "--all", "--grace-period=1"},
		}
		if name == "default" {
			commands = append(commands, []string{"delete", "secretproviderclasses,secrets", "--all"})
		} else {
			commands = append(commands, []string{"delete", "namespace", name})
		}
		for _, command := range commands {
			if _, err := s.Kubectl("", append(command, "--namespace="+name, "--timeout="+patience.String())...); err != nil {
				s.t.Errorf("a scenario must be able to delete what it created: %v", err)
			}
		}
	}
}

// checkUnmounted fails the scenario if a volume is still mounted below kubelet's folder.
func (s *scenario) checkUnmounted() {
	err := waitFor(patience, func() error {
		if left := volumes(); len(left) > 0 {
			return fmt.Errorf("still mounted:\n%s", strings.Join(left, "\n"))
		}
		return nil
	})
	if err != nil {
		s.t.Error(err)
	}
}

// volumes are the mounts of the driver below kubelet's folder.
func volumes() []string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	var left []string
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, node.KubeletRoot) && strings.Contains(line, "kubernetes.io~csi") {
			left = append(left, strings.TrimSpace(line))
		}
	}
	return left
}

// report prints what a person would look at first.
func (s *scenario) report() {
	for _, name := range s.namespaces {
		s.describe(s.t, name)
	}
	s.describe(s.t, kubeSystem)
	s.t.Logf("log of the provider:\n%s", tail(s.logs.since(logMark{}, providerPods), 60))
}

func (c *cluster) describe(t *testing.T, namespace string) {
	for _, arguments := range [][]string{
		{"get", "events", "--sort-by=.lastTimestamp"}, {"get", "pods", "--output=wide"}, {"describe", "pods"},
	} {
		output, err := c.Kubectl("", append(arguments, "--namespace="+namespace)...)
		t.Logf("kubectl %s --namespace=%s (%v)\n%s", strings.Join(arguments, " "), namespace, err, output)
	}
}

func tail(lines []string, count int) string {
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}
