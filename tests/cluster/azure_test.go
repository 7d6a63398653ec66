package cluster

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyvault-csi-provider.test/cluster/node"
)

const (
	tenant = "00000000-0000-4000-8000-000000000001"
	// azureFolder is where pods of the provider find the certificate authority of the emulated Azure.
	azureFolder = "/var/lib/azure"
	// providersFolder is where both providers have their socket on the node; it is /provider in their pods.
	providersFolder = "/var/run/secrets-store-csi-providers"
	// The node's address, so that pods with a network of their own reach it as well.
	azureTLS   = node.Address + ":28443"
	azureProxy = node.Address + ":28080"
	azureAdmin = "127.0.0.1:28090"
)

// azure is the emulated Entra and Key Vault. Its Entra trusts service account tokens of the node's cluster.
type azure struct {
	process *node.Process
	client  *http.Client
}

func startAzure(c *cluster) (*azure, error) {
	keys, err := c.Kubectl("", "get", "--raw", "/openid/v1/jwks")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(azureFolder, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(azureFolder, "jwks.json")
	if err := os.WriteFile(file, []byte(keys), 0o644); err != nil {
		return nil, err
	}
	authority, ready := filepath.Join(azureFolder, "ca.pem"), filepath.Join(azureFolder, "env")
	a := &azure{process: &node.Process{
		Name: "keyvault-emulator", LogFile: filepath.Join(c.Logs(), "keyvault-emulator.log"),
		Command: []string{environment("KEYVAULT_EMULATOR"), "--seed=testdata/seed.yaml", "--issuer-jwks=" + file,
			"--listen=" + azureTLS, "--proxy-listen=" + azureProxy, "--admin-listen=" + azureAdmin,
			"--imds-listen=" + node.MetadataAddress + ":80",
			"--ca-file=" + authority, "--env-file=" + ready, "--allow-non-loopback"},
	}}
	if err := a.process.Start(); err != nil {
		return nil, err
	}
	if err := a.process.WaitUntil(func() error { _, err := os.Stat(ready); return err }); err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(providersFolder, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(providersFolder, "ca.pem"), pem, 0o644); err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	a.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: azureProxy}),
		TLSClientConfig: &tls.Config{RootCAs: roots},
	}}
	return a, nil
}

func (a *azure) proxy() string { return "http://" + azureProxy }
func (a *azure) admin() string { return "http://" + azureAdmin }

// azureEnvironment is the environment by which a provider takes the emulator for Azure, where it cannot be set in the
// DaemonSet. The certificate authority is in the one folder that every provider has of its node.
func azureEnvironment() []string {
	return []string{"HTTPS_PROXY=http://" + azureProxy, "SSL_CERT_FILE=/provider/ca.pem"}
}

// values are the chart's values by which the provider takes the emulator for Azure.
func (a *azure) values() string {
	return fmt.Sprintf(`linux:
  image: {repository: docker.io/library/keyvault-csi-provider, tag: kind}
  env:
    - {name: HTTPS_PROXY, value: %q}
    - {name: SSL_CERT_FILE, value: /azure/ca.pem}
  volumes:
    - {name: azure, hostPath: {path: %s}}
  volumeMounts:
    - {name: azure, mountPath: /azure, readOnly: true}
`, a.proxy(), azureFolder)
}

// fail makes Azure fail in this way until the scenario ends. The rules are YAML, as the emulator's --faults takes them.
func (a *azure) fail(t *testing.T, rules string) {
	t.Helper()
	a.setFaults(t, rules)
	t.Cleanup(func() { a.recover(t) })
}

// recover ends all faults.
func (a *azure) recover(t *testing.T) { t.Helper(); a.setFaults(t, "[]") }

func (a *azure) setFaults(t *testing.T, rules string) {
	t.Helper()
	a.administer(t, http.MethodPut, "/faults", rules)
}

// forget starts the counts of requests anew.
func (a *azure) forget(t *testing.T) { t.Helper(); a.administer(t, http.MethodDelete, "/requests", "") }

// requests counts answered requests by kind, such as secret and token, since forget.
func (a *azure) requests(t *testing.T) map[string]int {
	t.Helper()
	var counts struct{ Answered map[string]int }
	if err := json.Unmarshal(a.administer(t, http.MethodGet, "/requests", ""), &counts); err != nil {
		t.Fatal(err)
	}
	return counts.Answered
}

func (a *azure) administer(t *testing.T, method, path, body string) []byte {
	t.Helper()
	request, err := http.NewRequest(method, a.admin()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %v\n%s", method, path, answer.Status, err, text)
	}
	return text
}

// The seed's service principal that may write secrets and certificates.
const (
	operatorID     = "99999999-9999-4999-8999-999999999999"
	operatorSecret = "operator-client-secret"
)

// setSecret writes a new version of a secret.
func (a *azure) setSecret(t *testing.T, vault, name, value string) {
	t.Helper()
	a.change(t, http.MethodPut, vault, "/secrets/"+name, map[string]any{"value": value})
}

// disableSecret writes a new version of a secret that is disabled.
func (a *azure) disableSecret(t *testing.T, vault, name string) {
	t.Helper()
	a.change(t, http.MethodPut, vault, "/secrets/"+name,
		map[string]any{"value": "disabled", "attributes": map[string]any{"enabled": false}})
}

// secret reads the newest version of a secret.
func (a *azure) secret(t *testing.T, vault, name string) string {
	t.Helper()
	var secret struct{ Value string }
	if err := json.Unmarshal(a.change(t, http.MethodGet, vault, "/secrets/"+name, nil), &secret); err != nil {
		t.Fatal(err)
	}
	return secret.Value
}

func (a *azure) change(t *testing.T, method, vault, path string, body any) []byte {
	t.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "scope": {"https://vault.azure.net/.default"},
		"client_id": {operatorID}, "client_secret": {operatorSecret},
	}
	var access struct {
		Token string `json:"access_token"`
	}
	answer := a.send(t, http.MethodPost, "https://login.microsoftonline.com/"+tenant+"/oauth2/v2.0/token",
		"application/x-www-form-urlencoded", form.Encode(), "")
	if err := json.Unmarshal(answer, &access); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return a.send(t, method, "https://"+vault+".vault.azure.net"+path+"?api-version=7.6", "application/json", string(text), access.Token)
}

func (a *azure) send(t *testing.T, method, address, contentType, body, bearer string) []byte {
	t.Helper()
	request, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	answer, err := a.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(answer.Body); err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode >= 300 {
		t.Fatalf("%s %s: %s\n%s", method, address, answer.Status, text.String())
	}
	return text.Bytes()
}
