package driver

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const (
	tenant   = "00000000-0000-4000-8000-000000000001"
	audience = "api://AzureADTokenExchange"
	vaultURL = "https://mykeyvault.vault.azure.net"
)

// identity is one of the seed's, with the service account that may act as it.
type identity struct {
	clientID, namespace, account string
}

var (
	reader   = identity{"11111111-1111-4111-8111-111111111111", "default", "workload-identity-sa"}
	stranger = identity{"22222222-2222-4222-8222-222222222222", "default", "stranger-sa"}
	rotator  = identity{"33333333-3333-4333-8333-333333333333", "ops", "rotator-sa"}
)

// azure is a running emulator: Entra, a Key Vault, and the cluster's token issuer.
type azure struct {
	// proxy and caFile are what a client needs to use it instead of Azure.
	proxy, caFile string
	client        *http.Client
}

// startAzure starts the emulator with testdata/seed.yaml.
func startAzure(t *testing.T) *azure {
	t.Helper()
	scratch := t.TempDir()
	envFile := filepath.Join(scratch, "env")
	emulator := start(t, "KEYVAULT_EMULATOR", nil,
		"--seed", "testdata/seed.yaml",
		"--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0",
		"--ca-file", filepath.Join(scratch, "ca.pem"), "--env-file", envFile)
	emulator.waitUntil(t, func() error {
		_, err := os.Stat(envFile)
		return err
	})
	environment := readEnvironment(t, envFile)
	a := &azure{proxy: environment["HTTPS_PROXY"], caFile: environment["SSL_CERT_FILE"]}
	a.client = &http.Client{Transport: a.transport(t), Timeout: patience}
	return a
}

func (a *azure) transport(t *testing.T) *http.Transport {
	t.Helper()
	proxy, err := url.Parse(a.proxy)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(a.caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", a.caFile)
	}
	return &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots}}
}

// tokens is kubelet's tokens attribute for a pod of this service account.
func (a *azure) tokens(t *testing.T, who identity, pod pod) string {
	t.Helper()
	status := a.requestToken(t, who, map[string]any{"kind": "Pod", "name": pod.name, "uid": pod.uid})
	return marshal(t, map[string]tokenStatus{audience: status})
}

type tokenStatus struct {
	Token               string `json:"token"`
	ExpirationTimestamp string `json:"expirationTimestamp"`
}

// requestToken asks the API server for a service account token, bound to a pod unless that is nil.
func (a *azure) requestToken(t *testing.T, who identity, boundTo map[string]any) tokenStatus {
	t.Helper()
	spec := map[string]any{"audiences": []string{audience}, "expirationSeconds": 3600}
	if boundTo != nil {
		spec["boundObjectRef"] = boundTo
	}
	address := fmt.Sprintf("https://oidc.emulator.test/api/v1/namespaces/%s/serviceaccounts/%s/token", who.namespace, who.account)
	body := marshal(t, map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
	var answer struct{ Status tokenStatus }
	a.send(t, http.MethodPost, address, "application/json", body, "", &answer)
	return answer.Status
}

// setSecret writes a new version as the rotator, and returns its id.
func (a *azure) setSecret(t *testing.T, name, value string) string {
	t.Helper()
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_id":             {rotator.clientID},
		"scope":                 {"https://vault.azure.net/.default"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {a.requestToken(t, rotator, nil).Token},
	}
	var access struct {
		Token string `json:"access_token"`
	}
	a.send(t, http.MethodPost, "https://login.microsoftonline.com/"+tenant+"/oauth2/v2.0/token",
		"application/x-www-form-urlencoded", form.Encode(), "", &access)

	var secret struct{ ID string }
	a.send(t, http.MethodPut, vaultURL+"/secrets/"+name+"?api-version=7.6",
		"application/json", marshal(t, map[string]string{"value": value}), access.Token, &secret)
	return path.Base(secret.ID)
}

// send makes a request that must succeed, and reads the JSON of its answer.
func (a *azure) send(t *testing.T, method, address, contentType, body, bearer string, into any) {
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
	if err := json.Unmarshal(text.Bytes(), into); err != nil {
		t.Fatalf("%s %s: %v", method, address, err)
	}
}

func readEnvironment(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found {
			environment[name] = value
		}
	}
	return environment
}

func marshal(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
