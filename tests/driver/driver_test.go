// Package driver mounts volumes through the code of the Secrets Store CSI driver itself: its client of
// providers and its writer, with our provider behind the socket and an emulated Azure behind that.
package driver

import (
	"bytes"
	"context"
	"flag"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/klog/v2"
	secretsstore "sigs.k8s.io/secrets-store-csi-driver/pkg/secrets-store"
)

const (
	password        = "correct-horse-battery-staple"
	passwordVersion = "0123456789abcdef0123456789abcdef"
	apiKey          = "two lines\nand no newline at the end"
	apiKeyVersion   = "fedcba9876543210fedcba9876543210"
)

var seeded = map[string]string{"secret/database-password": passwordVersion}

// starts are the ways to start the provider. Every test runs with each.
var starts = []struct {
	name      string
	arguments []string
}{
	{"the driver writes", []string{
		"--endpoint=unix://{socket}", "--healthz-port={port}", "--prometheus-port=0",
	}},
	{"the provider writes", []string{
		"--endpoint=unix://{socket}", "--healthz-port={port}", "--prometheus-port=0", "--file-writer=provider",
	}},
	{"the Go provider's DaemonSet", []string{
		"--endpoint=unix://{socket}", "--healthz-port={port}", "--healthz-path=/healthz", "--healthz-timeout=5s",
		"--construct-pem-chain=true", "-v=5", "--log-format-json=true",
	}},
	{"the Go provider's DaemonSet, the provider writes", []string{
		"--endpoint=unix://{socket}", "--healthz-port={port}", "--healthz-path=/healthz", "--healthz-timeout=5s",
		"--construct-pem-chain=true", "-v=5", "--log-format-json=true", "--file-writer=provider",
	}},
}

var promises = []struct {
	name  string
	holds func(*testing.T, *provider)
}{
	{"the guide's secret is mounted", theGuidesSecretIsMounted},
	{"several objects are mounted", severalObjectsAreMounted},
	{"tokens are found where a driver puts them", tokensAreFound},
	{"an identity without access is refused", anIdentityWithoutAccessIsRefused},
	{"the driver finds the provider healthy", theDriverFindsTheProviderHealthy},
	// Last, because it changes the vault.
	{"a rotation reaches the volume", aRotationReachesTheVolume},
}

func TestDriver(t *testing.T) {
	for _, start := range starts {
		t.Run(start.name, func(t *testing.T) {
			azure := startAzure(t)
			provider := startProvider(t, azure, start.arguments)
			for _, promise := range promises {
				t.Run(promise.name, func(t *testing.T) { promise.holds(t, provider) })
			}
			mustTellNoSecret(t, provider.program.output.String())
		})
	}
}

func theGuidesSecretIsMounted(t *testing.T, provider *provider) {
	pod := newPod(t)
	volume := newVolume(t, pod)
	provider.mustMount(t, volume, provider.request(t, pod, guideClass(reader), reader), seeded)
	volume.mustHold(t, map[string]string{"db-password": password})
	volume.unmount(t)
}

func severalObjectsAreMounted(t *testing.T, provider *provider) {
	pod := newPod(t)
	volume := newVolume(t, pod)
	provider.mustMount(t, volume, provider.request(t, pod, twoObjects(reader), reader), map[string]string{
		"secret/database-password": passwordVersion,
		"secret/api-key":           apiKeyVersion,
	})
	volume.mustHold(t, map[string]string{"db-password": password, "api-key": apiKey})
	volume.unmount(t)
}

// A CSIDriver object may ask kubelet to put tokens into secrets. The v1.6 driver then sends them there,
// and copies them into the attributes, where kubelet has always put them.
func tokensAreFound(t *testing.T, provider *provider) {
	for _, place := range []struct {
		name                string
		attributes, secrets bool
	}{
		{"in the attributes", true, false},
		{"in both, as the v1.6 driver sends them", true, true},
		{"in the secrets", false, true},
	} {
		t.Run(place.name, func(t *testing.T) {
			pod := newPod(t)
			volume := newVolume(t, pod)
			request := provider.request(t, pod, guideClass(reader), reader)
			if place.secrets {
				request.secrets = map[string]string{tokensKey: request.attributes[tokensKey]}
			}
			if !place.attributes {
				delete(request.attributes, tokensKey)
			}
			provider.mustMount(t, volume, request, seeded)
			volume.mustHold(t, map[string]string{"db-password": password})
			volume.unmount(t)
		})
	}
}

func anIdentityWithoutAccessIsRefused(t *testing.T, provider *provider) {
	t.Run("and nothing is written", func(t *testing.T) {
		pod := newPod(t)
		volume := newVolume(t, pod)
		_, err := provider.mount(t, volume, provider.request(t, pod, guideClass(stranger), stranger))
		mustBeDenied(t, err)
		volume.mustBeEmpty(t)
		volume.unmount(t)
	})
	t.Run("and what was there stays", func(t *testing.T) {
		pod := newPod(t)
		volume := newVolume(t, pod)
		provider.mustMount(t, volume, provider.request(t, pod, guideClass(reader), reader), seeded)
		before := volume.generation(t)
		_, err := provider.mount(t, volume, provider.request(t, pod, guideClass(stranger), stranger))
		mustBeDenied(t, err)
		if after := volume.generation(t); after != before {
			t.Errorf("the volume went from %v to %v", before, after)
		}
		volume.mustHold(t, map[string]string{"db-password": password})
		volume.unmount(t)
	})
}

// mustBeDenied expects the code, the object and the help.
func mustBeDenied(t *testing.T, err error) {
	t.Helper()
	if code := status.Code(err); code != codes.PermissionDenied {
		t.Fatalf("the answer is %v (%v), want PermissionDenied", code, err)
	}
	for _, words := range []string{"database-password", "Key Vault Secrets User"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("the error does not say %q: %v", words, err)
		}
	}
}

// Drivers before v1.6 rotate with the versions of the last answer, v1.6 without.
func aRotationReachesTheVolume(t *testing.T, provider *provider) {
	current, value := seeded, password
	for _, way := range []struct {
		name          string
		sendsVersions bool
	}{
		{"as drivers before v1.6 ask", true},
		{"as the v1.6 driver asks", false},
	} {
		t.Run(way.name, func(t *testing.T) {
			pod := newPod(t)
			volume := newVolume(t, pod)
			again := func(t *testing.T) request {
				request := provider.request(t, pod, guideClass(reader), reader)
				if way.sendsVersions {
					request.current = current
				}
				return request
			}
			provider.mustMount(t, volume, provider.request(t, pod, guideClass(reader), reader), current)
			volume.mustHold(t, map[string]string{"db-password": value})
			first := volume.generation(t)

			provider.mustMount(t, volume, again(t), current)
			if unchanged := volume.generation(t); unchanged != first {
				t.Errorf("nothing changed, and the volume went from %v to %v", first, unchanged)
			}

			value = "rotated " + way.name
			rotated := map[string]string{
				"secret/database-password": provider.azure.setSecret(t, "database-password", value),
			}
			request := again(t)
			current = rotated
			provider.mustMount(t, volume, request, rotated)
			volume.mustHold(t, map[string]string{"db-password": value})
			if second := volume.generation(t); second.data == first.data {
				t.Errorf("the contents changed in place, in %s", second.data)
			}
			volume.unmount(t)
		})
	}
}

func theDriverFindsTheProviderHealthy(t *testing.T, provider *provider) {
	client, err := provider.clients.Get(t.Context(), "azure")
	if err != nil {
		t.Fatal(err)
	}
	version, err := secretsstore.Version(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	program, err := exec.Command(binary(t, "KEYVAULT_CSI_PROVIDER"), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if words := strings.Fields(string(program)); len(words) < 2 || words[1] != version {
		t.Errorf("the driver is told version %q, and --version says %q", version, program)
	}

	said := healthChecks(t, provider.clients)
	if !strings.Contains(said, "provider healthcheck successful") || strings.Contains(said, "failed") {
		t.Errorf("the driver's health check says %q", said)
	}
}

// healthChecks runs the driver's health check a few times. Its only result is what it logs.
func healthChecks(t *testing.T, clients *secretsstore.PluginClientBuilder) string {
	t.Helper()
	defer klog.CaptureState().Restore()
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	if err := flags.Parse([]string{"-v=4", "-logtostderr=false"}); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	klog.SetOutput(&said)
	context, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	clients.HealthCheck(context, 300*time.Millisecond)
	klog.Flush()
	return said.String()
}

// mustTellNoSecret fails if a log contains a value or a token, at any level.
func mustTellNoSecret(t *testing.T, log string) {
	t.Helper()
	for _, secret := range []string{password, "two lines", "rotated as", "eyJ"} {
		if strings.Contains(log, secret) {
			t.Errorf("the provider logs %q", secret)
		}
	}
}
