package cluster

import (
	"strings"
	"testing"
)

// policyOfChart lets the pods of one namespace mount one object.
const policyOfChart = `policy:
  rules:
    - {namespaces: [policy], serviceAccounts: [app], vaults: [policy], objects: [secret/password]}
`

func TestAPolicyOfTheChartsValuesDeniesWhatNoRuleAllowsAndThePodSaysHowToAllowIt(t *testing.T) {
	notCore(t)
	s := begin(t, standard(policyOfChart))
	s.namespace("policy")
	s.expectWarnings("policy")
	s.apply(consumer("policy", "allowed", "azure"))
	s.applyClass(class{namespace: "policy", name: "denied", vault: "policy", objects: secrets("password", "other"),
		clientID: "aaaaaaaa-0101-4000-8000-000000000001"})
	denied := s.startPod("policy", "denied", "app", "denied")
	allowed := s.startPod("policy", "allowed", "app", "allowed")
	allowed.ready()
	allowed.reads("/secrets/password", "first")
	s.azure.forget(t)
	denied.fails("code = PermissionDenied", "secret/other", "policy")
	if counts := s.azure.requests(t); counts["secret"] > 0 || counts["token"] > 0 {
		t.Errorf("a denied mount asks Azure: %v", counts)
	}
}

// A pod that the level "restricted" admits reads its files without being root.
func TestAPodOfANamespaceThatIsRestrictedReadsItsFiles(t *testing.T) {
	notCore(t)
	s := begin(t, standard())
	s.namespace("restricted", "pod-security.kubernetes.io/enforce=restricted")
	s.apply(consumer("restricted", "class", "azure"))
	s.apply(strings.Replace(podManifest("restricted", "app", "app", "class"), "    volumeMounts:", `    securityContext:
      runAsNonRoot: true
      runAsUser: 65534
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
      seccompProfile: {type: RuntimeDefault}
    volumeMounts:`, 1))
	pod := s.pod("restricted", "app")
	pod.ready()
	pod.reads("/secrets/password", "first")
	if user := pod.exec("id", "-u"); user != "65534\n" {
		t.Errorf("the pod runs as user %q", user)
	}
}
