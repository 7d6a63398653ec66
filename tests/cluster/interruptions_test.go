package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyvault-csi-provider.test/cluster/node"
)

func TestAProviderThatIsKilledStartsAgainAndNoPodLosesItsFiles(t *testing.T) {
	notCore(t)
	s := begin(t, standard())
	s.namespace("interruptions")
	s.apply(consumer("interruptions", "class", "azure"))
	running := s.startPod("interruptions", "running", "app", "class")
	running.ready()
	pods := s.startStream("interruptions", "killed", "first")
	for restarts := range 2 {
		pods.atLeast(1)
		killProvider(t)
		s.until(func() error {
			state := s.kubectl("get", "pods", "--namespace="+kubeSystem, "--selector=app=csi-secrets-store-provider-azure",
				"--output=jsonpath={.items[*].status.containerStatuses[*].restartCount} {.items[*].status.containerStatuses[*].ready}")
			if want := fmt.Sprintf("%d true", restarts+1); state != want {
				return fmt.Errorf("restarts and readiness of the provider: %s, want %s", state, want)
			}
			return nil
		})
		running.reads("/secrets/password", "first")
	}
	pods.atLeast(streamWidth)
	pods.stop()
	for _, failure := range s.failedMounts("interruptions") {
		if !driverAway.MatchString(failure.message) {
			t.Errorf("a mount of %s failed for another reason than the provider's absence: %s", failure.pod, failure.message)
		}
	}
}

// killProvider sends SIGKILL to the provider's process.
func killProvider(t *testing.T) {
	t.Helper()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range commands {
		command, _ := os.ReadFile(file)
		if program, _, _ := strings.Cut(string(command), "\x00"); program != "/keyvault-csi-provider" {
			continue
		}
		process, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(process, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no process of the provider runs")
}

func TestAfterARestartOfKubeletVolumesAreMountedRefreshedAndUnmountedAsBefore(t *testing.T) {
	notCore(t)
	s := begin(t, standard(rotating))
	s.namespace("interruptions")
	s.azure.setSecret(t, "interruptions", "password", "before the restart")
	s.apply(consumer("interruptions", "class", "azure"))
	running, leaving := s.startPod("interruptions", "running", "app", "class"), s.startPod("interruptions", "leaving", "app", "class")
	running.ready()
	leaving.ready()

	kubelet := s.Part("kubelet")
	kubelet.Kill()
	waiting := s.startPod("interruptions", "waiting", "app", "class")
	s.azure.setSecret(t, "interruptions", "password", "after the restart")
	if err := kubelet.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitReady("kubelet"); err != nil {
		t.Fatal(err)
	}

	waiting.ready()
	waiting.reads("/secrets/password", "after the restart")
	running.comesToRead("/secrets/password", "after the restart")
	volume := leaving.volume()
	leaving.delete()
	s.until(func() error {
		for _, mounted := range volumes() {
			if strings.Contains(mounted, volume) {
				return fmt.Errorf("still mounted: %s", mounted)
			}
		}
		return nil
	})
	if restarts := s.kubectl("get", "pod", "running", "--namespace=interruptions",
		"--output=jsonpath={.status.containerStatuses[0].restartCount}"); restarts != "0" {
		t.Errorf("the container of the running pod was restarted %s times", restarts)
	}
}

// volume is where kubelet has mounted the pod's secrets on the node.
func (p pod) volume() string {
	p.s.t.Helper()
	uid := p.s.kubectl("get", "pod", p.name, "--namespace="+p.namespace, "--output=jsonpath={.metadata.uid}")
	return filepath.Join(node.KubeletRoot, "pods", uid, "volumes", "kubernetes.io~csi", "secrets", "mount")
}

// outageOfAPIServer is how long the API server is down while volumes are refreshed.
const outageOfAPIServer = time.Minute

// Without the API server no pod is created, so what can be promised is that mounted volumes stay and are refreshed. The
// provider remembers the keys of the cluster and the annotations of service accounts; one that starts during the outage
// has neither, and refreshes the classes that name their identity.
func TestWithoutTheAPIServerMountedVolumesAreRefreshedAndPodsStartAgainWhenItIsBack(t *testing.T) {
	notCore(t)
	s := begin(t, standard(rotating))
	s.namespace("interruptions")
	s.azure.setSecret(t, "interruptions", "password", "before the outage")
	s.applyAccount("interruptions", "app", "aaaaaaaa-0101-4000-8000-000000000001")
	s.applyClass(class{namespace: "interruptions", name: "annotated", vault: "interruptions", objects: secrets("password")})
	s.applyClass(class{namespace: "interruptions", name: "named", vault: "interruptions", objects: secrets("password"),
		clientID: "aaaaaaaa-0101-4000-8000-000000000001"})
	annotated := s.startPod("interruptions", "annotated", "app", "annotated")
	named := s.startPod("interruptions", "named", "app", "named")
	annotated.ready()
	named.ready()
	ofAnnotated, ofNamed := annotated.volume(), named.volume()

	server := s.Part("kube-apiserver")
	server.Kill()
	last, refreshes := "", 0
	for begin := time.Now(); time.Since(begin) < outageOfAPIServer; refreshes++ {
		last = fmt.Sprintf("version %d of the outage", refreshes)
		s.azure.setSecret(t, "interruptions", "password", last)
		s.untilFile(ofAnnotated, last)
		s.untilFile(ofNamed, last)
	}
	t.Logf("%d values arrived in %s without the API server", refreshes, outageOfAPIServer)
	s.expectWarnings("cannot load the service account keys", "mount failed: the API server is unreachable")
	killProvider(t)
	s.azure.setSecret(t, "interruptions", "password", "after the restart of the provider")
	s.untilFile(ofNamed, "after the restart of the provider")
	s.untilFile(ofAnnotated, last)

	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitReady("kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	after := s.startPod("interruptions", "after", "app", "annotated")
	after.ready()
	annotated.comesToRead("/secrets/password", "after the restart of the provider")
}

// untilFile waits until the password in a pod's volume is this one, as the node sees it.
func (s *scenario) untilFile(volume, value string) {
	s.t.Helper()
	s.until(func() error {
		file := filepath.Join(volume, "password")
		if text, err := os.ReadFile(file); err != nil || string(text) != value {
			return fmt.Errorf("%s holds %q (%v), want %q", file, text, err, value)
		}
		return nil
	})
}
