package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// rotationEachSecond turns rotation on in both charts, which have the driver's values under the same name.
const rotationEachSecond = `secrets-store-csi-driver:
  enableSecretRotation: true
  rotationPollInterval: 1s
`

// goProvider is the Go provider's own chart 1.8.2, which brings the driver 1.5.6.
func goProvider(values ...string) installation {
	return installation{
		release: release, chart: filepath.Join(environment("CLUSTER_CHARTS"), "go-provider"), values: values,
	}
}

// consumer is an account with the identity "moving", and a class for the vault with the name of the namespace.
func consumer(namespace, class, provider string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: ServiceAccount
metadata: {name: app, namespace: %[1]s}
---
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  provider: %[3]s
  parameters:
    clientID: aaaaaaaa-0101-4000-8000-000000000001
    tenantId: %[4]s
    keyvaultName: %[1]s
    objects: |
      array:
        - |
          objectName: password
          objectType: secret
`, namespace, class, provider, tenant)
}

// image is the image that the provider's pods run.
func (s *scenario) image() string {
	s.t.Helper()
	return s.kubectl("get", "pods", "--namespace="+kubeSystem, "--selector=app=csi-secrets-store-provider-azure",
		"--output=jsonpath={.items[*].spec.containers[*].image}")
}

func (s *scenario) rolledOut() {
	s.t.Helper()
	for _, daemonset := range strings.Fields(s.kubectl("get", "daemonsets", "--namespace="+kubeSystem, "--output=name")) {
		s.kubectl("rollout", "status", daemonset, "--namespace="+kubeSystem, "--timeout="+patience.String())
	}
}

// swap changes the release under a stream of new pods. Mounts may fail while the driver is replaced, and kubelet repeats
// them; in the end each pod is ready.
func (s *scenario) swap(name, command, wantedImage string) {
	s.t.Helper()
	pods := s.startStream("moving", name, "first|second|third|fourth")
	pods.atLeast(1)
	s.t.Log(command)
	s.userShell(command)
	s.rolledOut()
	if image := s.image(); image != wantedImage {
		s.t.Errorf("after %q the provider's pods run %s, want %s", command, image, wantedImage)
	}
	pods.atLeast(streamWidth)
	pods.stop()
	for _, failure := range s.failedMounts("moving") {
		if !driverAway.MatchString(failure.message) {
			s.t.Errorf("a mount of %s failed although the driver was there: %s", failure.pod, failure.message)
		}
	}
}

// driverAway matches what a failed mount says while the driver or the provider is replaced.
var driverAway = regexp.MustCompile("not found in the list of registered CSI drivers|code = Unavailable|provider not found")

// One upgrade replaces both the provider and the driver, while pods run and others start.
func TestARunningClusterMovesFromTheGoProvidersChartToThisOneAndBack(t *testing.T) {
	s := begin(t, goProvider(rotationEachSecond))
	theirs := s.image()
	s.namespace("moving")
	s.apply(consumer("moving", "class", "azure"))
	before := s.startPod("moving", "before", "app", "class")
	before.ready()
	before.reads("/secrets/password", "first")
	s.azure.setSecret(t, "moving", "password", "second")
	before.comesToRead("/secrets/password", "second")

	guide := installGuide(t, "## In place of the Go provider's chart")
	s.swap("upgrade", command(t, guide, "helm upgrade"), imageOfRegistry+":"+versionOfRelease)
	before.reads("/secrets/password", "second")
	between := s.startPod("moving", "between", "app", "class")
	between.ready()
	s.azure.setSecret(t, "moving", "password", "third")
	for _, pod := range []pod{before, between} {
		pod.comesToRead("/secrets/password", "third")
	}

	s.swap("rollback", command(t, guide, "helm rollback"), theirs)
	after := s.startPod("moving", "after", "app", "class")
	after.ready()
	s.azure.setSecret(t, "moving", "password", "fourth")
	for _, pod := range []pod{before, between, after} {
		pod.comesToRead("/secrets/password", "fourth")
	}
}

// followsTheVault checks that a new pod and a running one have the values of the vault.
func (s *scenario) followsTheVault(namespace string) {
	s.t.Helper()
	s.namespace(namespace)
	s.apply(consumer(namespace, "class", "azure"))
	first := s.startPod(namespace, "first", "app", "class")
	first.ready()
	first.reads("/secrets/password", "first")
	s.azure.setSecret(s.t, namespace, "password", "second")
	first.comesToRead("/secrets/password", "second")
	second := s.startPod(namespace, "second", "app", "class")
	second.ready()
	second.reads("/secrets/password", "second")
	if image := s.image(); image != imageOfRegistry+":"+versionOfRelease {
		s.t.Errorf("the provider's pods run %s", image)
	}
}

func TestTheGoProvidersChartWorksWithItsImageReplaced(t *testing.T) {
	notCore(t)
	s := begin(t, goProvider(rotationEachSecond, fmt.Sprintf("linux: {image: {repository: %s, tag: %s}}", imageOfRegistry, versionOfRelease)))
	s.followsTheVault("replaced-chart")
}

func TestTheGoProvidersManifestWorksWithItsImageReplaced(t *testing.T) {
	notCore(t)
	s := begin(t, driver15("enableSecretRotation: true\nrotationPollInterval: 1s\n"+
		"tokenRequests: [{audience: api://AzureADTokenExchange}]"))
	text, err := os.ReadFile(filepath.Join(s.charts, "go-provider.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	manifest := imageLine.ReplaceAllString(string(text), "          image: "+imageOfRegistry+":"+versionOfRelease)
	t.Cleanup(func() {
		if _, err := s.Kubectl(manifest, "delete", "--namespace="+kubeSystem, "--filename=-"); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Kubectl(manifest, "apply", "--namespace="+kubeSystem, "--filename=-"); err != nil {
		t.Fatal(err)
	}
	s.rolledOut()
	s.followsTheVault("replaced-manifest")
}
