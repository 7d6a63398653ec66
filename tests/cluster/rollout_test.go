package cluster

import (
	"fmt"
	"strings"
	"testing"
)

// rollouts is how many times a scenario replaces the provider's pod.
const rollouts = 2

// The two pods want the same ports, so one ends before the other begins; the driver lets mounts wait for the new one.
func TestAnUpgradeOnTheHostsNetworkFailsNoMount(t *testing.T) {
	upgradeUnderAStream(t, "linux: {hostNetwork: true}", func(*scenario, string, string) {})
}

func TestAnUpgradeBySurgeFailsNoMountAndKeepsTheOldPodUntilTheNewOneIsReady(t *testing.T) {
	upgradeUnderAStream(t, "linux: {hostNetwork: false}", func(s *scenario, before, now string) {
		ready := s.kubectl("get", "pod", now, "--namespace="+kubeSystem,
			`--output=jsonpath={.status.conditions[?(@.type=="Ready")].lastTransitionTime}`)
		ended := s.kubectl("get", "events", "--namespace="+kubeSystem,
			"--field-selector=reason=Killing,involvedObject.name="+before, "--output=jsonpath={.items[0].firstTimestamp}")
		// Both are UTC in whole seconds.
		if ready == "" || ended == "" || ready > ended {
			t.Errorf("pod %s was ended at %q, before its successor %s was ready at %q", before, ended, now, ready)
		}
	})
}

// upgradeUnderAStream replaces the provider several times while new pods mount their volumes. No mount may fail: neither
// is any FailedMount event of these pods left out, nor does a repetition of kubelet count as success.
func upgradeUnderAStream(t *testing.T, values string, check func(s *scenario, before, now string)) {
	t.Helper()
	s := begin(t, standard(values))
	s.namespace("rollout")
	s.apply(consumer("rollout", "class", "azure"))
	running := s.startPod("rollout", "running", "app", "class")
	running.ready()
	before := s.providerPod()
	pods := s.startStream("rollout", "pod", "first")
	for rollout := range rollouts {
		pods.atLeast(1)
		// Helm waits until the new pod is ready.
		next := standard(values, fmt.Sprintf("linux: {podAnnotations: {rollout: %q}}", fmt.Sprint(rollout)))
		if err := s.upgrade(next); err != nil {
			t.Fatal(err)
		}
		now := s.providerPod()
		if now == before {
			t.Fatalf("the upgrade has not replaced the provider's pod %s", now)
		}
		check(s, before, now)
		before = now
	}
	pods.atLeast(streamWidth)
	if failed := pods.stop(); failed > 0 {
		t.Errorf("%d mounts failed during %d upgrades", failed, rollouts)
	}
	running.reads("/secrets/password", "first")
}

// providerPod is the name of the provider's only pod, once the one that it replaces is gone.
func (s *scenario) providerPod() string {
	s.t.Helper()
	var name string
	s.until(func() error {
		names := strings.Fields(s.kubectl("get", "pods", "--namespace="+kubeSystem, "--selector=app=csi-secrets-store-provider-azure",
			"--output=jsonpath={.items[*].metadata.name}"))
		if len(names) != 1 {
			return fmt.Errorf("%d pods of the provider: %v", len(names), names)
		}
		name = names[0]
		return nil
	})
	return name
}
