package cluster

import (
	"strings"
	"testing"
)

func TestACanaryServesItsOwnClassesBesideTheGoProvider(t *testing.T) {
	notCore(t)
	s := begin(t, goProvider())
	mark := s.logs.mark()
	for _, command := range installGuide(t, "## Beside another provider") {
		s.userShell(command)
	}
	s.rolledOut()
	s.namespace("canary")
	s.apply(consumer("canary", "of-azure", "azure"))
	s.apply(consumer("canary", "of-canary", "canary"))
	azure, canary := s.startPod("canary", "with-azure", "app", "of-azure"), s.startPod("canary", "with-canary", "app", "of-canary")
	azure.ready()
	canary.ready()
	sums := []string{"sh", "-c", "cd /secrets && sha256sum *"}
	if theirs, ours := azure.exec(sums...), canary.exec(sums...); theirs != ours {
		t.Errorf("the Go provider's files are\n%s, and the canary's\n%s", theirs, ours)
	}
	log := strings.Join(s.logs.since(mark, providerPods), "\n")
	if !strings.Contains(log, `pod="with-canary"`) || strings.Contains(log, `pod="with-azure"`) {
		t.Errorf("the canary has not served its own class alone:\n%s", log)
	}

	s.userShell("helm uninstall canary --wait --namespace " + kubeSystem)
	canary.delete()
	later := s.startPod("canary", "later", "app", "of-azure")
	later.ready()
	later.reads("/secrets/password", "first")
}
