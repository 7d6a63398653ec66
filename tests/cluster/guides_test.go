package cluster

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestAPodOfTheGuideReadsItsPasswordWithTheIdentityOfItsServiceAccount(t *testing.T) {
	s := begin(t, standard())
	s.namespace("default")
	s.applyFiles("examples/workload-identity")
	s.kubectl("rollout", "status", "deployment/myapp", "--timeout="+patience.String())
	log := s.kubectl("logs", "deployment/myapp")
	if want := "a password of 28 characters\n"; log != want {
		t.Errorf("the pod logs %q, want %q", log, want)
	}
}

func TestAClassWithoutAnIdentityTakesItFromTheAnnotationsOfTheServiceAccount(t *testing.T) {
	s := begin(t, standard())
	s.namespace("annotated")
	s.applyAccount("annotated", "app", "aaaaaaaa-0001-4000-8000-000000000001")
	s.apply(`apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: class, namespace: annotated}
spec:
  provider: azure
  parameters:
    keyvaultName: annotated
    objects: |
      - {objectName: password, objectType: secret}
`)
	pod := s.startPod("annotated", "app", "app", "class")
	pod.ready()
	pod.reads("/secrets/password", "of the annotated identity")
}

func TestAClassThatAsksForTheNodesManagedIdentityReadsWithIt(t *testing.T) {
	notCore(t)
	s := begin(t, standard())
	s.namespace("managed")
	s.applyAccount("managed", "app", "")
	s.applyClass(class{namespace: "managed", name: "class", vault: "managed", objects: secrets("password"),
		parameters: []string{`useVMManagedIdentity: "true"`}})
	pod := s.startPod("managed", "app", "app", "class")
	pod.ready()
	pod.reads("/secrets/password", "of the node's identity")
}

// The recipe's commands, but for Docker and kind itself, as they stand in the document.
func TestTheRecipeForKindWorksAsItIsWritten(t *testing.T) {
	notCore(t)
	s := begin(t)
	if err := s.uninstall(); err != nil {
		t.Fatal(err)
	}
	s.namespaces = append(s.namespaces, "default", "keyvault-emulator")
	text, err := os.ReadFile("../../docs/recipes/kind.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```sh\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("the recipe has no commands")
	}
	var commands []string
	for line := range strings.Lines(string(block[1])) {
		switch program, _, _ := strings.Cut(strings.TrimSpace(line), " "); program {
		case "docker", "kind":
			// The images are on the node already.
		case "helm":
			// The chart's dependency is there already, from the driver's Go module.
			if !strings.Contains(line, "dependency") {
				commands = append(commands, strings.TrimSpace(line)+" --wait --timeout "+helmTimeout+"\n")
			}
		default:
			commands = append(commands, line)
		}
	}
	defer os.Remove("../../jwks.json")
	s.installed = "the recipe's release"
	output := s.shell(strings.Join(commands, ""))
	if !strings.Contains(output, "a password of 28 characters") {
		t.Errorf("the pod of the recipe does not log its password's length:\n%s", output)
	}
}
