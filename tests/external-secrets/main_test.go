package judge

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const (
	inputs         = "../data/convert"
	ownInputs      = "testdata/cases"
	otherEncodings = "testdata/forms"
	documentation  = "testdata/operator"
)

// world is shared by all tests: one emulator, which this process uses as Azure.
var world struct {
	// cases have the same bytes after conversion; certificates have another encoding, and documented tests only the
	// operator's code.
	cases                    []*testCase
	certificates, documented *testCase
	clusters                 map[*testCase]*cluster
	needs                    needs
	azure                    *azure
	credentials              *credentials
}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "external-secrets-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(folder)
	certificate, err := newMaterial()
	if err != nil {
		return 1, err
	}
	if world.cases, err = readCases(inputs); err != nil {
		return 1, err
	}
	own, err := readCases(ownInputs)
	if err != nil {
		return 1, err
	}
	forms, err := readCases(otherEncodings)
	if err != nil {
		return 1, err
	}
	documented, err := readCases(documentation)
	if err != nil {
		return 1, err
	}
	world.cases, world.certificates, world.documented = append(world.cases, own...), forms[0], documented[0]
	world.clusters, world.needs = map[*testCase]*cluster{}, needs{}
	clients := map[string]subjects{}
	for _, c := range slices.Concat(world.cases, forms, documented) {
		world.needs.collect(c)
		clusterOfCase, err := newCluster(c, certificate)
		if err != nil {
			return 1, fmt.Errorf("%s: %w", c.name, err)
		}
		world.clusters[c] = clusterOfCase
		for client, allowed := range clusterOfCase.clients {
			if clients[client] == nil {
				clients[client] = subjects{}
			}
			maps.Copy(clients[client], allowed)
		}
	}
	seed, err := seedFor(world.needs, clients, certificate)
	if err != nil {
		return 1, err
	}
	if world.azure, err = startAzure(folder, seed); err != nil {
		return 1, err
	}
	defer func() {
		if stopped := world.azure.stop(); err == nil {
			err = stopped
		}
	}()
	if err := world.azure.adopt(); err != nil {
		return 1, err
	}
	if world.credentials, err = world.azure.credentials(); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// credentials are the credentials of a pod on the emulated node.
func (a *azure) credentials() (*credentials, error) {
	token, err := a.serviceAccountToken(podNamespace, podAccount)
	if err != nil {
		return nil, err
	}
	tokenFile := filepath.Join(a.folder, "pod-token")
	return &credentials{
		environment:     []string{"HTTPS_PROXY=" + a.environment["HTTPS_PROXY"], "SSL_CERT_FILE=" + a.environment["SSL_CERT_FILE"]},
		tokenFile:       tokenFile,
		metadataService: a.environment["KEYVAULT_EMULATOR_IMDS_URL"],
	}, os.WriteFile(tokenFile, []byte(token), 0o600)
}
