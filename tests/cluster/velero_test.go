package cluster

import (
	"fmt"
	"strings"
	"testing"
)

const (
	// veleroImage runs tests/cluster/velero: Velero's own code reads the file that AZURE_CREDENTIALS_FILE names.
	veleroImage     = "localhost/velero-credentials:latest"
	veleroFile      = "/credentials/cloud-credentials"
	veleroValues    = "examples/velero/values.yaml"
	servicePassword = "the password of the service principal"
)

// veleroReport is what Velero finds in the file of the example.
const veleroReport = `variable AZURE_CLIENT_ID
variable AZURE_CLIENT_SECRET
variable AZURE_CLOUD_NAME
variable AZURE_RESOURCE_GROUP
variable AZURE_SUBSCRIPTION_ID
variable AZURE_TENANT_ID
credential *azidentity.ClientSecretCredential
`

func TestVelerosOwnCodeReadsItsCredentialsFromTheVolumeOfTheGuide(t *testing.T) {
	s := begin(t, standard())
	s.storeCloudCredentials()
	s.namespace("velero")
	s.applyFiles("examples/velero/class.yaml")
	s.applyAccount("velero", "velero", "")
	values := repositoryFile(t, veleroValues)
	variables := section(t, values, "  extraEnvVars:")
	for name, volumes := range map[string][2]string{
		"server":     {section(t, values, "extraVolumes:"), section(t, values, "extraVolumeMounts:")},
		"node-agent": {section(t, values, "  extraVolumes:"), section(t, values, "  extraVolumeMounts:")},
	} {
		s.apply(veleroPod(name, variables, volumes[0], volumes[1]))
		pod := s.pod("velero", name)
		pod.ready()
		s.holdsCloudCredentials(pod)
		if log := s.kubectl("logs", name, "--namespace=velero", "--container=velero"); log != veleroReport {
			t.Errorf("Velero reports on the file of the %s:\n%s\nwant:\n%s", name, log, veleroReport)
		}
	}
}

func TestAPodReadsVelerosCredentialsWithAServicePrincipal(t *testing.T) {
	s := begin(t, standard())
	s.storeCloudCredentials()
	s.namespace("velero")
	var commands []string
	for line := range strings.Lines(strings.ReplaceAll(shellBlocks(t, "docs/recipes/service-principal.md", "")[0], "\\\n", "")) {
		// The service principal is in the emulated Entra already.
		if strings.HasPrefix(line, "kubectl ") {
			commands = append(commands, line)
		}
	}
	fill := strings.NewReplacer("<appId>", "aaaaaaaa-0201-4000-8000-000000000001", "<password>", "'"+servicePassword+"'")
	output := s.shell(fill.Replace(strings.Join(commands, "")))
	for line := range strings.Lines(veleroReport) {
		if name, found := strings.CutPrefix(line, "variable "); found && !strings.Contains(output, name) {
			t.Errorf("the pod does not log the name %s:\n%s", name, output)
		}
	}
	s.holdsCloudCredentials(s.pod("velero", "cloud-credentials"))
}

// storeCloudCredentials stores the example's file as one secret, as the guide does with `az keyvault secret set --file`.
func (s *scenario) storeCloudCredentials() {
	s.t.Helper()
	s.azure.setSecret(s.t, "backup-vault", "velero-cloud-credentials", repositoryFile(s.t, "examples/velero/cloud-credentials.env"))
}

// holdsCloudCredentials checks bytes and mode of the file in a pod. The driver asks for mode 420, which is 0644.
func (s *scenario) holdsCloudCredentials(pod pod) {
	s.t.Helper()
	pod.reads(veleroFile, repositoryFile(s.t, "examples/velero/cloud-credentials.env"))
	if mode := strings.TrimSpace(pod.exec("stat", "-L", "-c", "%a", veleroFile)); mode != "644" {
		s.t.Errorf("%s in pod %s has mode %s, want 644", veleroFile, pod.name, mode)
	}
}

// veleroPod runs the loader as Velero's image does, without root, and then keeps the volume for a look at it.
func veleroPod(name, variables, volumes, mounts string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: velero}
spec:
  serviceAccountName: velero
  terminationGracePeriodSeconds: 1
  securityContext: {runAsUser: 65532, runAsNonRoot: true}
  initContainers:
  - name: velero
    image: %s
    imagePullPolicy: IfNotPresent
    env:
%s    volumeMounts:
%s  containers:
  - name: shell
    image: docker.io/library/busybox:1.37
    command: [sleep, "86400"]
    volumeMounts:
%s  volumes:
%s`, name, veleroImage, indentedText("    ", variables), indentedText("    ", mounts), indentedText("    ", mounts), indentedText("  ", volumes))
}

// section is the text of a YAML value: the lines below a key that are indented more than it is.
func section(t *testing.T, text, key string) string {
	t.Helper()
	_, below, found := strings.Cut("\n"+text, "\n"+key+"\n")
	if !found {
		t.Fatalf("no key %q in:\n%s", key, text)
	}
	indentation := len(key) - len(strings.TrimLeft(key, " "))
	var lines strings.Builder
	for line := range strings.Lines(below) {
		if len(line)-len(strings.TrimLeft(line, " ")) <= indentation {
			break
		}
		lines.WriteString(line)
	}
	return lines.String()
}

func indentedText(indentation, text string) string {
	return indented(indentation, strings.Split(strings.TrimSuffix(text, "\n"), "\n"))
}
