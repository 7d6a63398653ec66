package cluster

import (
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
