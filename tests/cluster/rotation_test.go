package cluster

import (
	"fmt"
	"testing"
)

// rotating are the chart's values for the shortest rotation: the driver asks at every republish of kubelet.
const rotating = `
rotationMaxAge: 1s
secrets-store-csi-driver: {enableSecretRotation: true, rotationPollInterval: 2s}
`

// fileWriter is the chart's value.
func fileWriter(writer string) string { return "fileWriter: " + writer + "\n" }

const withoutDriver = "secrets-store-csi-driver: {install: false}\n"

// rotatingDriver15 is the driver whose own reconciler rotates, with this provider beside it.
func rotatingDriver15(values ...string) []installation {
	tokens := "tokenRequests: [{audience: api://AzureADTokenExchange}]\n"
	return []installation{
		driver15("enableSecretRotation: true\nrotationPollInterval: 2s\n" + tokens),
		standard(append([]string{"rotationMaxAge: 1s\n", withoutDriver}, values...)...),
	}
}

func TestARotatedSecretReachesARunningPodByRepublishing(t *testing.T) {
	rotates(t, standard(rotating))
}

func TestARotatedSecretReachesARunningPodByRepublishingWhenTheProviderWritesTheFiles(t *testing.T) {
	notCore(t)
	rotates(t, standard(rotating, fileWriter("provider")))
}

func TestARotatedSecretReachesARunningPodByTheReconcilerOfDriver15(t *testing.T) {
	notCore(t)
	rotates(t, rotatingDriver15()...)
}

func TestARotatedSecretReachesARunningPodByTheReconcilerOfDriver15WhenTheProviderWritesTheFiles(t *testing.T) {
	notCore(t)
	rotates(t, rotatingDriver15(fileWriter("provider"))...)
}

// rotates follows two new versions, so that the second is not the effect of a first one that came late.
func rotates(t *testing.T, wanted ...installation) {
	s := begin(t, wanted...)
	s.namespace("rotation")
	s.azure.setSecret(t, "rotation", "password", "first")
	s.applyAccount("rotation", "app", "aaaaaaaa-0003-4000-8000-000000000001")
	s.applyClass(class{namespace: "rotation", name: "class", vault: "rotation", objects: secrets("password", "constant")})
	pod := s.startPod("rotation", "app", "app", "class")
	pod.ready()
	pod.reads("/secrets/password", "first")
	for _, value := range []string{"second", "third"} {
		s.azure.setSecret(t, "rotation", "password", value)
		pod.comesToRead("/secrets/password", value)
		pod.reads("/secrets/constant", "the same for ever")
	}
}

func TestAnOptionalObjectThatIsDisabledLeavesTheVolumeAndTheOthersStay(t *testing.T) {
	notCore(t)
	s := begin(t, standard(rotating))
	s.namespace("rotation")
	s.expectWarnings("passing")
	s.azure.setSecret(t, "rotation", "passing", "here for now")
	s.applyAccount("rotation", "app", "aaaaaaaa-0003-4000-8000-000000000001")
	s.applyClass(class{namespace: "rotation", name: "class", vault: "rotation",
		objects: secrets("constant") + "- {objectName: passing, objectType: secret, optional: true}"})
	pod := s.startPod("rotation", "app", "app", "class")
	pod.ready()
	pod.reads("/secrets/passing", "here for now")
	s.azure.disableSecret(t, "rotation", "passing")
	s.until(func() error {
		if files := pod.exec("ls", "/secrets"); files != "constant\n" {
			return fmt.Errorf("the volume holds %q", files)
		}
		return nil
	})
	pod.reads("/secrets/constant", "the same for ever")
}
