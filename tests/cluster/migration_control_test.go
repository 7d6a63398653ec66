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
	m.s.until(func() error {
		losses := m.watch.losses()
		if !slices.ContainsFunc(losses, func(loss string) bool { return strings.HasPrefix(loss, "DELETED Secret database:") }) {
			return fmt.Errorf("the watch has seen no Secret go, but %q", losses)
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
