package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What the guide warns of: without its order the driver and the operator write the same Secret, or the Secret is lost. The
// scenarios also show that the watch of the others sees a loss.

func TestDriverAndOperatorOverwriteEachOthersMarksOnASecretThatBothMake(t *testing.T) {
	notCore(t)
	m := begin(t, syncing16()...).startShop()
	before := m.watch.seen()
	m.applyConverted()
	m.watch.comes(m.s, before, "Secret database", "owners []", "labels [secrets-store.csi.k8s.io/managed]")
	between := m.watch.seen()
	m.setNext("second")
	m.watch.comes(m.s, between, "Secret database", "ExternalSecret", operatorManaged)
}

func TestDriver15LeavesTheOperatorsSecretAloneAndItGoesWithTheExternalSecret(t *testing.T) {
	notCore(t)
	m := begin(t, syncing15()...).startShop()
	before := m.watch.seen()
	m.applyConverted()
	m.setNext("second")
	m.watch.comes(m.s, before, "Secret database", `"second"`)
	m.watch.hasNone(before, "secrets-store.csi.k8s.io")
	m.run("kubectl delete externalsecret database --namespace shop")
	m.comesToLose("database")
}

// Whether the operator's finalizer or Kubernetes' garbage collector comes first is chance; here the finalizer does.
func TestTheOperatorsFinalizerDeletesASecretUnlessTheGuideHasItRetained(t *testing.T) {
	notCore(t)
	m := begin(t, syncing16()...).startShop()
	step := m.commandsFor("queue", shellBlocks(t, migrationGuide, "### 2. The operator gives the Secret up"))[0]
	const orphan = "--cascade=orphan"
	if !strings.Contains(step, orphan) {
		t.Fatalf("the guide's commands have no %s:\n%s", orphan, step)
	}
	m.withoutCollector(func() {
		m.run(strings.Replace(step, orphan, orphan+" --wait=false", 1))
		m.s.until(m.finalizerEnds)
	})
	if losses := m.watch.losses(); len(losses) > 0 {
		t.Errorf("the guide's commands lose a Secret: %q", losses)
	}

	givenUp := m.watch.seen()
	m.run("kubectl apply --filename deploy/")
	m.watch.comes(m.s, givenUp, "Secret queue", "ExternalSecret")
	m.withoutCollector(func() {
		m.run("kubectl delete externalsecret queue --namespace shop --wait=false " + orphan)
		m.comesToLose("queue")
	})
}

// withoutCollector does something while Kubernetes' garbage collector does not run, and waits until it has caught up.
func (m *shop) withoutCollector(do func()) {
	m.s.t.Helper()
	manager := m.s.Part("kube-controller-manager")
	manager.Kill()
	defer func() {
		if err := manager.Start(); err != nil {
			m.s.t.Fatal(err)
		}
		m.s.kubectl("wait", "--for=delete", "externalsecret/queue", "--namespace=shop", "--timeout="+patience.String())
	}()
	do()
}

// finalizerEnds checks that the operator has let its ExternalSecret go, which then waits for the garbage collector alone.
func (m *shop) finalizerEnds() error {
	finalizers, err := m.s.Kubectl("", "get", "externalsecret", "queue", "--namespace=shop", "--output=jsonpath={.metadata.finalizers}")
	if want := `["orphan"]`; err == nil && finalizers != want {
		err = fmt.Errorf("ExternalSecret queue has the finalizers %s, want %s", finalizers, want)
	}
	return err
}

// comesToLose waits until the watch sees a Secret go.
func (m *shop) comesToLose(secret string) {
	m.s.t.Helper()
	m.s.until(func() error {
		losses := m.watch.losses()
		if !slices.ContainsFunc(losses, func(loss string) bool { return strings.HasPrefix(loss, "DELETED Secret "+secret+":") }) {
			return fmt.Errorf("the watch has not seen Secret %s go, but %q", secret, losses)
		}
		return nil
	})
}

// applyConverted applies the conversion while the operator still has its ExternalSecrets.
func (m *shop) applyConverted() {
	m.s.t.Helper()
	m.run(append(shellBlocks(m.s.t, migrationGuide, "### 1. Prepare"),
		shellBlocks(m.s.t, migrationGuide, "### 3. The driver takes the Secret over")...)...)
}
