package driver

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	secretsstore "sigs.k8s.io/secrets-store-csi-driver/pkg/secrets-store"
)

const tokensKey = "csi.storage.k8s.io/serviceAccount.tokens"

// class is the parameters of a SecretProviderClass.
type class map[string]string

// guideClass is the guide's SecretProviderClass, for this identity.
func guideClass(who identity) class {
	return class{
		"clientID":     who.clientID,
		"keyvaultName": "myKeyVault",
		"tenantID":     tenant,
		"objects": `
array:
  - |
    objectName: database-password
    objectType: secret
    objectAlias: db-password
`,
	}
}

// twoObjects is the guide's class with a second secret under its own name.
func twoObjects(who identity) class {
	class := guideClass(who)
	class["objects"] += `
  - |
    objectName: api-key
    objectType: secret
`
	return class
}

// pod is a pod with a volume.
type pod struct {
	name, uid string
}

// newPod is a pod of the test's own.
func newPod(t *testing.T) pod {
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%d %s", os.Getpid(), t.Name())
	id := hash.Sum64()
	return pod{
		name: fmt.Sprintf("app-%016x", id),
		uid:  fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(id>>32), uint32(id)),
	}
}

// attributes are the class's parameters under kubelet's volume context, as NodePublishVolume joins them.
func (p pod) attributes(class class, who identity) map[string]string {
	attributes := map[string]string{}
	maps.Copy(attributes, class)
	maps.Copy(attributes, map[string]string{
		"csi.storage.k8s.io/pod.name":            p.name,
		"csi.storage.k8s.io/pod.namespace":       who.namespace,
		"csi.storage.k8s.io/pod.uid":             p.uid,
		"csi.storage.k8s.io/serviceAccount.name": who.account,
		"csi.storage.k8s.io/ephemeral":           "true",
		"secretProviderClass":                    "azure-kvname-wi",
	})
	return attributes
}

// provider is a running provider and the driver's own client of it.
type provider struct {
	program *program
	clients *secretsstore.PluginClientBuilder
	azure   *azure
}

// startProvider starts the provider with these arguments, in which {socket} and {port} are replaced.
func startProvider(t *testing.T, azure *azure, arguments []string) *provider {
	t.Helper()
	folder, port := t.TempDir(), freePort(t)
	replace := strings.NewReplacer("{socket}", filepath.Join(folder, "azure.sock"), "{port}", fmt.Sprint(port))
	var replaced []string
	for _, argument := range arguments {
		replaced = append(replaced, replace.Replace(argument))
	}
	environment := []string{"HTTPS_PROXY=" + azure.proxy, "SSL_CERT_FILE=" + azure.caFile}
	program := start(t, "KEYVAULT_CSI_PROVIDER", environment, replaced...)
	clients := secretsstore.NewPluginClientBuilder([]string{folder})
	t.Cleanup(clients.Cleanup)
	program.waitUntil(t, func() error { return healthy(port) })
	return &provider{program, clients, azure}
}

// request is one call of the driver, without the target.
type request struct {
	attributes map[string]string
	// secrets are nodePublishSecretRef's, and since v1.6 perhaps the tokens.
	secrets map[string]string
	// current are the versions of the last answer. Drivers before v1.6 send them to rotate.
	current map[string]string
}

// request is an ordinary one: the pod's token is in the attributes.
func (p *provider) request(t *testing.T, pod pod, class class, who identity) request {
	t.Helper()
	attributes := pod.attributes(class, who)
	attributes[tokensKey] = p.azure.tokens(t, who, pod)
	return request{attributes: attributes}
}

// mount calls the driver's own code, as NodePublishVolume does: it calls the provider and writes the
// files. Then no process may hold the volume open.
func (p *provider) mount(t *testing.T, volume *volume, request request) (map[string]string, error) {
	t.Helper()
	context, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := p.clients.Get(context, "azure")
	if err != nil {
		t.Fatal(err)
	}
	versions, _, err := secretsstore.MountContent(context, client, marshal(t, request.attributes),
		marshal(t, request.secrets), volume.target, marshal(t, os.FileMode(0o644)), request.current)
	volume.mustBeFree(t)
	return versions, err
}

// mustMount is a mount that succeeds with these object versions.
func (p *provider) mustMount(t *testing.T, volume *volume, request request, want map[string]string) {
	t.Helper()
	versions, err := p.mount(t, volume, request)
	if err != nil {
		t.Fatalf("the mount fails: %v", err)
	}
	if !maps.Equal(versions, want) {
		t.Errorf("the object versions are %v, want %v", versions, want)
	}
}
