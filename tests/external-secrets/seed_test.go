package judge

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const (
	tenant = "00000000-0000-4000-8000-000000000001"
	// The operator's identity, for stores without an account. It may also write.
	operatorNamespace = "external-secrets"
	operatorAccount   = "external-secrets"
	operatorClient    = "99999999-9999-4999-8999-999999999999"
	// The application of stores that log in with a secret or a certificate.
	principalClient = "88888888-8888-4888-8888-888888888888"
	principalSecret = "a-client-secret"
	// The system-assigned identity of the node.
	systemClient = "77777777-7777-4777-8777-777777777777"
	// The account of all pods that mount.
	podNamespace = "judge"
	podAccount   = "pod"
)

// tags are the tags of every secret.
var tags = map[string]string{"owner": "team-a"}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// seedFor is the seed of the emulator for these cases: every object that they name, and every identity.
func seedFor(needed needs, clients map[string]subjects, certificate *material) ([]byte, error) {
	pfx, err := certificate.pkcs12()
	if err != nil {
		return nil, err
	}
	var identities []any
	var access []any
	for _, client := range slices.Sorted(maps.Keys(clients)) {
		identity := map[string]any{"name": client, "clientId": client}
		federated := []any{map[string]any{"subject": subject(podNamespace, podAccount)}}
		for _, subject := range slices.Sorted(maps.Keys(clients[client])) {
			federated = append(federated, map[string]any{"subject": subject})
		}
		identity["federatedCredentials"] = federated
		switch client {
		case principalClient:
			identity["clientSecrets"] = []any{principalSecret}
			identity["certificates"] = []any{certificate.leaf()}
		case systemClient:
			identity["managedIdentity"] = "system"
		default:
			identity["managedIdentity"] = "user"
		}
		identities = append(identities, identity)
		permissions := []any{"get", "list"}
		secrets := permissions
		if client == operatorClient {
			secrets = append(slices.Clone(permissions), "set")
		}
		access = append(access, map[string]any{"identity": client, "secrets": secrets, "keys": permissions, "certificates": permissions})
	}
	vaults := map[string]map[string][]any{}
	for _, location := range slices.Sorted(maps.Keys(needed)) {
		vault, name, _ := strings.Cut(location, "/")
		if vaults[vault] == nil {
			vaults[vault] = map[string][]any{}
		}
		kind, seeded := needed[location].seeded(name, location, pfx, certificate)
		vaults[vault][kind] = append(vaults[vault][kind], seeded)
	}
	var seeded []any
	for _, vault := range slices.Sorted(maps.Keys(vaults)) {
		written := map[string]any{"name": vault, "access": access}
		for kind, objects := range vaults[vault] {
			written[kind] = objects
		}
		seeded = append(seeded, written)
	}
	// JSON is YAML.
	return json.Marshal(map[string]any{"tenant": tenant, "identities": identities, "vaults": seeded})
}

// subjects are the service accounts that may act as an application.
type subjects map[string]bool

func subject(namespace, account string) string {
	return "system:serviceaccount:" + namespace + ":" + account
}

// seeded is the list of the seed that contains the object, and the object.
func (n *need) seeded(name, location, pfx string, certificate *material) (string, map[string]any) {
	object := map[string]any{"name": name}
	switch {
	case n.kind == "cert" && n.certificate != "":
		object["pem"] = certificate.text()
		return "certificates", object
	case n.certificate == corev1.TLSCertKey:
		object["value"] = certificate.chainText()
		return "secrets", object
	case n.certificate == corev1.TLSPrivateKeyKey:
		object["value"] = certificate.keyText()
		return "secrets", object
	case n.kind == "cert" || n.pkcs12:
		object["pfx"], object["cer"] = pfx, certificate.leaf()
		return "certificates", object
	case n.kind == "key":
		object["kty"] = "RSA"
		return "keys", object
	}
	object["tags"] = tags
	var versions []any
	for _, version := range slices.Compact(slices.Sorted(slices.Values(n.versions))) {
		versions = append(versions, map[string]any{
			"version": version, "value": n.value(location + " of version " + version), "created": "2026-01-01T00:00:00Z",
		})
	}
	object["versions"] = append(versions, map[string]any{"value": n.value(location), "created": "2026-02-01T00:00:00Z"})
	return "secrets", object
}

func marshal(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}
