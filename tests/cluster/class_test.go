package cluster

import (
	"fmt"
	"strings"
)

// class is a SecretProviderClass of this provider in a scenario.
type class struct {
	namespace, name, vault string
	// clientID is the identity of a class for workload identity; empty leaves it to the service account.
	clientID string
	// objects is the YAML of the parameter.
	objects string
	// parameters are further parameters, one `name: value` each.
	parameters []string
}

// secrets is the parameter objects with a secret for each name.
func secrets(names ...string) string {
	var list strings.Builder
	for _, name := range names {
		fmt.Fprintf(&list, "- {objectName: %s, objectType: secret}\n", name)
	}
	return list.String()
}

func (s *scenario) applyClass(c class) {
	s.t.Helper()
	if c.clientID != "" {
		c.parameters = append(c.parameters, "clientID: "+c.clientID)
	}
	s.apply(fmt.Sprintf(`apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: %s, namespace: %s}
spec:
  provider: azure
  parameters:
    keyvaultName: %s
    tenantID: %s
%s    objects: |
%s`, c.name, c.namespace, c.vault, tenant, indented("    ", c.parameters), indented("      ", strings.Split(strings.TrimSpace(c.objects), "\n"))))
}

// applyAccount creates a service account; with a client id in its annotations, unless that is empty.
func (s *scenario) applyAccount(namespace, name, clientID string) {
	s.t.Helper()
	annotations := ""
	if clientID != "" {
		annotations = fmt.Sprintf("  annotations: {azure.workload.identity/client-id: %s, azure.workload.identity/tenant-id: %s}\n",
			clientID, tenant)
	}
	s.apply(fmt.Sprintf("apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: %s\n  namespace: %s\n%s", name, namespace, annotations))
}

func indented(indentation string, lines []string) string {
	var text strings.Builder
	for _, line := range lines {
		text.WriteString(indentation + line + "\n")
	}
	return text.String()
}
