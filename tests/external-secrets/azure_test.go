package judge

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// patience bounds every wait for a program: debug builds need a fraction of it.
	patience = 30 * time.Second
	audience = "api://AzureADTokenExchange"
	// apiServer is the URL of the emulator's API server, which its proxy serves.
	apiServer = "https://oidc.emulator.test"
)

// azure is a running emulator: Entra, vaults, the metadata service of a node, and the API server's tokens.
type azure struct {
	folder  string
	command *exec.Cmd
	output  lockedBuffer
	ended   chan struct{}
	// environment has the variables that direct a client to the emulator.
	environment map[string]string
	client      *http.Client
}

// startAzure starts the emulator with this seed, which is YAML.
func startAzure(folder string, seed []byte) (*azure, error) {
	path, err := binary("KEYVAULT_EMULATOR")
	if err != nil {
		return nil, err
	}
	seedFile, envFile := filepath.Join(folder, "seed.yaml"), filepath.Join(folder, "env")
	if err := os.WriteFile(seedFile, seed, 0o600); err != nil {
		return nil, err
	}
	a := &azure{folder: folder, ended: make(chan struct{}), environment: map[string]string{}}
	a.command = exec.Command(path, "--seed", seedFile,
		"--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0",
		"--ca-file", filepath.Join(folder, "ca.pem"), "--env-file", envFile)
	a.command.Env = []string{}
	a.command.Stdout, a.command.Stderr = &a.output, &a.output
	if err := a.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = a.command.Wait()
		close(a.ended)
	}()
	if err := a.ready(envFile); err != nil {
		return nil, errors.Join(err, a.stop())
	}
	return a, nil
}

// ready waits until the emulator has written its environment, and reads that.
func (a *azure) ready(envFile string) error {
	deadline := time.After(patience)
	for {
		if text, err := os.ReadFile(envFile); err == nil {
			for line := range strings.Lines(string(text)) {
				if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found {
					a.environment[name] = value
				}
			}
			return a.connect()
		}
		select {
		case <-a.ended:
			return fmt.Errorf("the emulator ended before it was ready: %v\n%s", a.command.ProcessState, a.output.String())
		case <-deadline:
			return fmt.Errorf("the emulator is not ready after %v\n%s", patience, a.output.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (a *azure) connect() error {
	proxy, err := url.Parse(a.environment["HTTPS_PROXY"])
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(a.environment["SSL_CERT_FILE"])
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate", a.environment["SSL_CERT_FILE"])
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots}}
	a.client = &http.Client{Transport: transport, Timeout: patience}
	return nil
}

// stop ends the emulator, which must end in time and with exit code 0.
func (a *azure) stop() error {
	if err := a.command.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("the emulator ended by itself: %v\n%s", a.command.ProcessState, a.output.String())
	}
	select {
	case <-a.ended:
		if !a.command.ProcessState.Success() {
			return fmt.Errorf("the emulator after SIGTERM: %v\n%s", a.command.ProcessState, a.output.String())
		}
		return nil
	case <-time.After(patience):
		_ = a.command.Process.Kill()
		return fmt.Errorf("the emulator still runs %v after SIGTERM", patience)
	}
}

// adopt directs the clients in this process to the emulator. Go reads proxies and trusted certificates once, so
// adopt must run before the first request.
func (a *azure) adopt() error {
	kubernetes, err := a.serveTokens()
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(a.folder, "kubeconfig")
	config := map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "emulator",
		"clusters": []any{map[string]any{"name": "emulator", "cluster": map[string]any{"server": kubernetes}}},
		"contexts": []any{map[string]any{"name": "emulator", "context": map[string]any{"cluster": "emulator", "user": "judge"}}},
		"users":    []any{map[string]any{"name": "judge", "user": map[string]any{}}},
	}
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	if err := os.WriteFile(kubeconfig, text, 0o600); err != nil {
		return err
	}
	token, err := a.serviceAccountToken(operatorNamespace, operatorAccount)
	if err != nil {
		return err
	}
	tokenFile := filepath.Join(a.folder, "token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		return err
	}
	for _, name := range []string{"ALL_PROXY", "NO_PROXY", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY"} {
		_ = os.Unsetenv(name)
		_ = os.Unsetenv(strings.ToLower(name))
	}
	for name, value := range map[string]string{
		"HTTPS_PROXY": a.environment["HTTPS_PROXY"],
		// The proxy also serves the metadata service.
		"HTTP_PROXY":    a.environment["HTTPS_PROXY"],
		"SSL_CERT_FILE": a.environment["SSL_CERT_FILE"],
		"KUBECONFIG":    kubeconfig,
		// The workload identity webhook sets these in the operator's pod.
		"AZURE_CLIENT_ID": operatorClient, "AZURE_TENANT_ID": tenant, "AZURE_FEDERATED_TOKEN_FILE": tokenFile,
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// serviceAccountToken requests a token from the API server, as kubelet does for a pod.
func (a *azure) serviceAccountToken(namespace, account string) (string, error) {
	body, err := json.Marshal(map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
		"spec": map[string]any{"audiences": []string{audience}, "expirationSeconds": 3600},
	})
	if err != nil {
		return "", err
	}
	var response struct{ Status struct{ Token string } }
	address := fmt.Sprintf("%s/api/v1/namespaces/%s/serviceaccounts/%s/token", apiServer, namespace, account)
	err = a.send(http.MethodPost, address, "application/json", string(body), "", &response)
	return response.Status.Token, err
}

// setSecrets writes a new version of each of these secrets, by "vault/name", with the operator's identity.
func (a *azure) setSecrets(values map[string]string) error {
	assertion, err := a.serviceAccountToken(operatorNamespace, operatorAccount)
	if err != nil {
		return err
	}
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_id":             {operatorClient},
		"scope":                 {"https://vault.azure.net/.default"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}
	var access struct {
		Token string `json:"access_token"`
	}
	err = a.send(http.MethodPost, "https://login.microsoftonline.com/"+tenant+"/oauth2/v2.0/token",
		"application/x-www-form-urlencoded", form.Encode(), "", &access)
	if err != nil {
		return err
	}
	for place, value := range values {
		vault, name, _ := strings.Cut(place, "/")
		body, err := json.Marshal(map[string]any{"value": value, "tags": tags})
		if err != nil {
			return err
		}
		address := fmt.Sprintf("https://%s.vault.azure.net/secrets/%s?api-version=7.6", vault, name)
		if err := a.send(http.MethodPut, address, "application/json", string(body), access.Token, &struct{}{}); err != nil {
			return err
		}
	}
	return nil
}

// send sends a request that must succeed, and parses the JSON of the response.
func (a *azure) send(method, address, contentType, body, bearer string, into any) error {
	request, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", contentType)
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := a.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s\n%s", method, address, response.Status, text.String())
	}
	return json.Unmarshal(text.Bytes(), into)
}

// binary is the path in the environment variable.
func binary(variable string) (string, error) {
	path := os.Getenv(variable)
	if path == "" {
		return "", fmt.Errorf("%s is not set: set it to the program to test, for example target/debug/%s",
			variable, strings.ReplaceAll(strings.ToLower(variable), "_", "-"))
	}
	return filepath.Abs(path)
}

// lockedBuffer collects the output of a program, and can be read at the same time.
type lockedBuffer struct {
	mutex sync.Mutex
	bytes bytes.Buffer
}

func (b *lockedBuffer) Write(bytes []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.bytes.Write(bytes)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.bytes.String()
}
