// Package gosdk reads from the emulated Azure with Microsoft's SDK for Go, as an application does it: the second
// real client of the emulator, beside the SDK for Python.
package gosdk

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	tenant       = "00000000-0000-4000-8000-000000000001"
	clientID     = "11111111-1111-4111-8111-111111111111"
	clientSecret = "a client secret"
	// patience bounds every wait.
	patience = 30 * time.Second
)

// azure is a running emulator. As the SDK's transport, it sends every request to it.
type azure struct {
	client *http.Client
	imds   *url.URL
}

// Do sends a request through the emulator's proxy; those for the instance metadata service, whose address is fixed, go
// to where the emulator serves it.
func (a *azure) Do(request *http.Request) (*http.Response, error) {
	if request.URL.Host == "169.254.169.254" {
		request.URL.Host = a.imds.Host
	}
	return a.client.Do(request)
}

// start starts an emulator for the test, and checks its end.
func start(t *testing.T) *azure {
	t.Helper()
	program := os.Getenv("KEYVAULT_EMULATOR")
	if program == "" {
		t.Fatal("KEYVAULT_EMULATOR is not set: it must name the emulator, such as target/debug/keyvault-emulator")
	}
	folder := t.TempDir()
	seed, ready := filepath.Join(folder, "seed.yaml"), filepath.Join(folder, "env")
	if err := os.WriteFile(seed, []byte(seedText(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	emulator := exec.Command(program, "--seed="+seed, "--listen=127.0.0.1:0", "--proxy-listen=127.0.0.1:0",
		"--ca-file="+filepath.Join(folder, "ca.pem"), "--env-file="+ready)
	var output bytes.Buffer
	emulator.Stdout, emulator.Stderr = &output, &output
	if err := emulator.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- emulator.Wait() }()
	t.Cleanup(func() {
		_ = emulator.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("the emulator ends with %v\n%s", err, output.String())
		}
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the emulator is not ready after %s", patience)
		}
	}
	return connect(t, ready)
}

func connect(t *testing.T, file string) *azure {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		environment[name] = value
	}
	pem, err := os.ReadFile(environment["SSL_CERT_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s has no certificate", environment["SSL_CERT_FILE"])
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	proxy := parse(t, environment["HTTPS_PROXY"])
	transport.Proxy = func(request *http.Request) (*url.URL, error) {
		if request.URL.Scheme == "https" {
			return proxy, nil
		}
		return nil, nil
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &azure{
		client: &http.Client{Transport: transport, Timeout: patience},
		imds:   parse(t, environment["KEYVAULT_EMULATOR_IMDS_URL"]),
	}
}

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	address, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// certificate is the PEM text of the seed's certificate, with its key.
func certificate(t *testing.T) string {
	t.Helper()
	pem, err := os.ReadFile("../data/pfx/bundle-pkcs8.pem")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem)
}

func seedText(t *testing.T) string {
	t.Helper()
	seed, err := os.ReadFile("testdata/seed.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// A JSON string is a YAML string.
	pem, err := json.Marshal(certificate(t))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(seed), "$PEM", string(pem))
}

// tokenFile is a file with a token of the service account default/name, as kubelet mounts it.
func (a *azure) tokenFile(t *testing.T, name string) string {
	t.Helper()
	answer, err := a.client.Post(
		fmt.Sprintf("https://oidc.emulator.test/api/v1/namespaces/default/serviceaccounts/%s/token", name),
		"application/json", strings.NewReader(`{"spec": {"audiences": ["api://AzureADTokenExchange"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var request struct{ Status struct{ Token string } }
	if err := json.NewDecoder(answer.Body).Decode(&request); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(request.Status.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
