package peer

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// azure is a running emulator, and what a pod of each service account brings with it.
type azure struct {
	// environment is what a client needs to use the emulator instead of Azure.
	environment []string
	// imds is the address of the instance metadata service.
	imds string
	// tokens is kubelet's tokens attribute: a JSON object, by audience.
	tokens string
	// cloudFile describes a private cloud whose hosts the emulator serves.
	cloudFile string
}

// startAzure starts the emulator with everything that the generator asks for.
func startAzure(t *testing.T) *azure {
	t.Helper()
	scratch := t.TempDir()
	seedFile, envFile := filepath.Join(scratch, "seed.yaml"), filepath.Join(scratch, "env")
	// JSON is YAML.
	write(t, seedFile, marshal(t, seed(t)))
	emulator, err := start("the emulator", binary(t, "KEYVAULT_EMULATOR"), nil,
		"--seed", seedFile, "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0",
		"--ca-file", filepath.Join(scratch, "ca.pem"), "--env-file", envFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { emulator.stop(t) })
	err = emulator.waitUntil(func() error {
		_, err := os.Stat(envFile)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	said := readEnvironment(t, envFile)
	proxy, authority := said["HTTPS_PROXY"], said["SSL_CERT_FILE"]
	a := &azure{
		// The Go provider reaches the metadata service through the proxy, too.
		environment: []string{"HTTPS_PROXY=" + proxy, "HTTP_PROXY=" + proxy, "SSL_CERT_FILE=" + authority},
		imds:        said["KEYVAULT_EMULATOR_IMDS_URL"],
		cloudFile:   filepath.Join(scratch, "cloud.json"),
	}
	write(t, a.cloudFile, marshal(t, map[string]string{
		"name":                    "PeerCloud",
		"activeDirectoryEndpoint": "https://login.peer.test/",
		"keyVaultEndpoint":        "https://vault.peer.test/",
		"keyVaultDNSSuffix":       "vault.peer.test",
	}))
	a.tokens = marshal(t, map[string]any{audience: requestToken(t, client(t, proxy, authority))})
	return a
}

func client(t *testing.T, proxyURL, authority string) *http.Client {
	t.Helper()
	proxy, err := url.Parse(proxyURL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(read(t, authority)) {
		t.Fatalf("%s holds no certificate", authority)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots}}
	return &http.Client{Transport: transport, Timeout: patience}
}

// requestToken asks the API server for the service account's token.
func requestToken(t *testing.T, client *http.Client) any {
	t.Helper()
	address := fmt.Sprintf("https://oidc.emulator.test/api/v1/namespaces/%s/serviceaccounts/%s/token", namespace, account)
	spec := map[string]any{"audiences": []string{audience}, "expirationSeconds": 86400}
	body := marshal(t, map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
	answer, err := client.Post(address, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(answer.Body); err != nil {
		t.Fatal(err)
	}
	var token struct{ Status map[string]any }
	if err := json.Unmarshal(text.Bytes(), &token); err != nil || answer.StatusCode >= 300 {
		t.Fatalf("no token: %s: %s", answer.Status, text.String())
	}
	return token.Status
}

func readEnvironment(t *testing.T, file string) map[string]string {
	t.Helper()
	environment := map[string]string{}
	for line := range strings.Lines(string(read(t, file))) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found {
			environment[name] = value
		}
	}
	return environment
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func marshal(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
