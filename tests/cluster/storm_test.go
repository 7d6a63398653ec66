package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAHundredPodsOfOneServiceAccountStartWithOneTokenAndWithinTheMemoryOfTheChart(t *testing.T) {
	notCore(t)
	const pods, objects = 100, 10
	s := begin(t, standard())
	s.namespace("storm")
	s.applyAccount("storm", "app", "aaaaaaaa-0005-4000-8000-000000000001")
	var names []string
	for index := range objects {
		name := fmt.Sprintf("object-%d", index)
		s.azure.setSecret(t, "storm", name, strings.Repeat("x", 1024))
		names = append(names, name)
	}
	s.applyClass(class{namespace: "storm", name: "class", vault: "storm", objects: secrets(names...)})
	s.azure.forget(t)
	begin := time.Now()
	s.apply(fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: storm, namespace: storm}
spec:
  replicas: %d
  selector: {matchLabels: {app: storm}}
  template:
    metadata: {labels: {app: storm}}
    spec:
      serviceAccountName: app
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: docker.io/library/busybox:1.37
        command: [sh, -c, "test $(ls /secrets | wc -l) = %d && exec sleep 86400"]
        volumeMounts: [{name: secrets, mountPath: /secrets, readOnly: true}]
      volumes:
      - name: secrets
        csi: {driver: secrets-store.csi.k8s.io, readOnly: true, volumeAttributes: {secretProviderClass: class}}
`, pods, objects))
	s.kubectl("rollout", "status", "deployment/storm", "--namespace=storm", "--timeout=10m")
	requests := s.azure.requests(t)
	t.Logf("%d pods with %d objects are ready after %.0f s; requests %v; the provider's peak memory is %s",
		pods, objects, time.Since(begin).Seconds(), requests, providerPeak(t))
	if requests["token"] > 1 {
		t.Errorf("%d token requests, want one for all pods", requests["token"])
	}
	// How many first mounts share a request depends on how many are under way at the same time.
	if requests["secret"] > pods*objects {
		t.Errorf("%d requests for secrets, more than one for each object of each pod", requests["secret"])
	}
	restarts := s.kubectl("get", "pods", "--namespace="+kubeSystem, "--selector=app=csi-secrets-store-provider-azure",
		"--output=jsonpath={.items[*].status.containerStatuses[*].restartCount}")
	if restarts != "0" {
		t.Errorf("the provider has restarted (%s): it needs more memory than the chart gives it", restarts)
	}
}

// providerPeak is the greatest resident memory of the provider's process, as the kernel prints it.
func providerPeak(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", providerPID(t), "status"))
	if err != nil {
		t.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	peak, _, _ = strings.Cut(peak, "\n")
	return strings.TrimSpace(peak)
}

// providerPID is the process id of the provider's container.
func providerPID(t *testing.T) string {
	t.Helper()
	programs, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		if target, err := os.Readlink(program); err == nil && filepath.Base(target) == "keyvault-csi-provider" {
			return filepath.Base(filepath.Dir(program))
		}
	}
	t.Fatal("the provider does not run")
	return ""
}
