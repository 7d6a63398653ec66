package cluster

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const migrationGuide = "docs/from-external-secrets.md"

// migrated are the Secrets of testdata/migration that pods take variables from, by their ExternalSecrets.
var migrated = map[string]string{"database": "database", "queue": "queue", "mail": "mail-account"}

// What the operator and the driver leave on a Secret that they make: labels and owners.
var (
	operatorMarks = []string{"external-secrets.io", "ExternalSecret"}
	driverMarks   = []string{"secrets-store.csi.k8s.io", "ReplicaSet", "SecretProviderClassPodStatus"}
)

// shopKeys are the keys of all Secrets of testdata/migration. Pods mount the one named "settings".
var shopKeys = map[string][]string{
	"database": {"password", "username"}, "queue": {"password"}, "mail-account": {"password"}, "settings": {"password"},
}

func TestTheGuideMovesSecretsFromTheOperatorToTheDriverAndBackWithoutLosingOne(t *testing.T) {
	notCore(t)
	migrates(begin(t, syncing16()...))
}

func TestTheGuideMovesSecretsFromTheOperatorToTheDriver15AndBackWithoutLosingOne(t *testing.T) {
	notCore(t)
	migrates(begin(t, syncing15()...))
}

// migrates follows the guide's commands, while every change of the Secrets is watched and pods are created without a pause.
func migrates(s *scenario) {
	m := s.startShop()
	s.t.Cleanup(m.watch.check)
	readers := m.startReaders()
	readers.atLeast(2)
	m.toTheDriver(readers)
	m.backToTheOperator(readers)
	readers.stop()
}

func (m *shop) toTheDriver(readers *readers) {
	s := m.s
	s.t.Helper()
	m.run(shellBlocks(s.t, migrationGuide, "### 1. Prepare")...)
	for _, externalSecret := range externalSecrets() {
		m.run(m.commandsFor(externalSecret, shellBlocks(s.t, migrationGuide, "### 2. The operator gives the Secret up"))...)
	}
	givenUp := m.watch.loses(s, secretNames(), operatorMarks...)
	readers.atLeast(2)
	m.run(shellBlocks(s.t, migrationGuide, "### 3. The driver takes the Secret over")...)
	readers.mount(true)
	m.watch.forget("settings")
	m.run(shellBlocks(s.t, migrationGuide, "### 4. Delete what is left")...)
	s.secretGoes("shop", "settings")
	for _, secret := range secretNames() {
		s.until(func() error { return m.belongsToTheDriver(secret) })
	}
	readers.atLeastMounting(2)
	// Until each volume has the new value, the driver may write the old one to the Secret as well.
	readers.mount(false)
	m.setNext("second")
	s.until(func() error { return m.filesHold("second") })
	m.holds("second", readers)
	m.watch.hasNone(givenUp, operatorMarks...)
}

func (m *shop) backToTheOperator(readers *readers) {
	s := m.s
	s.t.Helper()
	rollback := shellBlocks(s.t, migrationGuide, "## Back to the operator")
	for _, externalSecret := range externalSecrets() {
		m.run(m.commandsFor(externalSecret, rollback[:1])...)
	}
	givenUp := m.watch.loses(s, secretNames(), driverMarks...)
	// A pod that mounts a class makes the driver write its Secrets.
	readers.mount(true)
	readers.atLeastMounting(2)
	readers.mount(false)
	const example = "secretproviderclass database "
	if !strings.Contains(rollback[1], example) {
		s.t.Fatalf("the guide's commands delete no %s:\n%s", example, rollback[1])
	}
	all := "secretproviderclass " + strings.Join(append(externalSecrets(), "settings"), " ") + " "
	m.run(strings.Replace(rollback[1], example, all, 1))
	for _, secret := range secretNames() {
		s.until(func() error { return m.belongsToTheOperator(secret) })
	}
	m.setNext("third")
	m.holds("third", readers)
	m.watch.hasNone(givenUp, driverMarks...)
	pod := s.kubectl("get", "deployment", "shop", "--namespace=shop", "--output=jsonpath={range .spec.template.spec}"+
		"{.serviceAccountName} {.volumes[*].secret.secretName} {.volumes[*].csi}{end}")
	if pod = strings.TrimSpace(pod); pod != "default settings" {
		s.t.Errorf("after the way back the pods have account and volumes %q, want %q", pod, "default settings")
	}
}

// shop is a namespace whose Secrets the operator makes.
type shop struct {
	s     *scenario
	watch *secretWatch
	// folder is where the user runs the guide's commands; its folder deploy holds the manifests.
	folder string
}

// startShop applies testdata/migration, with the operator and all values "first".
func (s *scenario) startShop() *shop {
	s.t.Helper()
	m := &shop{s: s, folder: s.t.TempDir()}
	s.namespace("shop")
	m.setValues("first")
	api := s.startAPI()
	s.startOperator(api, "shop")
	if err := os.CopyFS(filepath.Join(m.folder, "deploy"), os.DirFS("testdata/migration")); err != nil {
		s.t.Fatal(err)
	}
	s.installProvidersProgram()
	m.run("kubectl apply --filename deploy/",
		"kubectl rollout status deployment/shop --namespace shop --timeout "+patience.String())
	m.watch = s.watchSecrets(api, "shop", shopKeys, "first")
	for _, secret := range secretNames() {
		s.until(func() error { return m.belongsToTheOperator(secret) })
	}
	return m
}

// installProvidersProgram puts the provider's program where the guide's user finds it.
func (s *scenario) installProvidersProgram() {
	s.t.Helper()
	err := os.Symlink(environment("KEYVAULT_CSI_PROVIDER"), filepath.Join(programs, "keyvault-csi-provider"))
	if err != nil && !os.IsExist(err) {
		s.t.Fatal(err)
	}
}

// externalSecrets and secretNames are the names of what is migrated.
func externalSecrets() []string { return slices.Sorted(maps.Keys(migrated)) }
func secretNames() []string     { return slices.Sorted(maps.Values(migrated)) }

func (m *shop) setValues(value string) {
	m.s.t.Helper()
	for _, name := range []string{"database-password", "queue-password", "mail-password", "settings-password"} {
		m.s.azure.setSecret(m.s.t, "shop", name, value)
	}
}

// run runs blocks of commands in the user's folder.
func (m *shop) run(blocks ...string) {
	m.s.t.Helper()
	for _, block := range blocks {
		m.s.t.Log(block + m.s.shell("cd '"+m.folder+"'\n"+block))
	}
}

// commandsFor are blocks of the guide for another ExternalSecret than the one of its example.
func (m *shop) commandsFor(externalSecret string, blocks []string) []string {
	m.s.t.Helper()
	const example = "NAMESPACE=shop EXTERNAL_SECRET=database SECRET=database\n"
	own := fmt.Sprintf("NAMESPACE=shop EXTERNAL_SECRET=%s SECRET=%s\n", externalSecret, migrated[externalSecret])
	var commands []string
	for _, block := range blocks {
		if !strings.Contains(block, example) {
			m.s.t.Fatalf("the guide's commands have no line %q:\n%s", example, block)
		}
		commands = append(commands, strings.Replace(block, example, own, 1))
	}
	return commands
}

// belongsToTheDriver checks that a Secret has the driver's marks, and none of the operator's.
func (m *shop) belongsToTheDriver(secret string) error {
	owners, labels, err := m.marks(secret)
	if err == nil && (!strings.Contains(owners, "ReplicaSet") || strings.Contains(owners, "ExternalSecret") ||
		!strings.Contains(labels, "secrets-store.csi.k8s.io/managed") || strings.Contains(labels, "external-secrets.io")) {
		err = fmt.Errorf("Secret %s is not the driver's: owners %s, labels %s", secret, owners, labels)
	}
	return err
}

// belongsToTheOperator checks that a Secret has the operator's marks, and none of the driver's.
func (m *shop) belongsToTheOperator(secret string) error {
	owners, labels, err := m.marks(secret)
	owner := "ExternalSecret"
	if secret == migrated["mail"] {
		owner = ""
	}
	if err == nil && (owners != owner || !strings.Contains(labels, operatorManaged) || strings.Contains(labels, "secrets-store.csi")) {
		err = fmt.Errorf("Secret %s is not the operator's: owners %s, labels %s", secret, owners, labels)
	}
	return err
}

func (m *shop) marks(secret string) (owners, labels string, err error) {
	output, err := m.s.Kubectl("", "get", "secret", secret, "--namespace=shop",
		"--output=jsonpath={.metadata.ownerReferences[*].kind}|{.metadata.labels}")
	owners, labels, _ = strings.Cut(output, "|")
	return owners, labels, err
}

// setNext writes new versions. From now on the Secrets may hold these values as well.
func (m *shop) setNext(value string) {
	m.s.t.Helper()
	m.watch.accept(append(slices.Clone(m.watch.accepts()), value)...)
	m.setValues(value)
}

// holds waits until the Secrets hold a value. From now on they may hold no other, and pods read it.
func (m *shop) holds(value string, readers *readers) {
	m.s.t.Helper()
	for _, secret := range secretNames() {
		want := map[string]string{"password": value}
		if secret == "database" {
			want["username"] = "shop"
		}
		m.s.comesToHold("shop", secret, want)
	}
	m.watch.accept(value)
	readers.atLeast(2)
}

// filesHold checks the volumes of the Deployment's pods.
func (m *shop) filesHold(value string) error {
	pods, err := m.s.Kubectl("", "get", "pods", "--namespace=shop", "--selector=app=shop", "--output=jsonpath={.items[*].metadata.name}")
	if err != nil {
		return err
	}
	want := strings.Repeat(value, len(migrated))
	for _, pod := range strings.Fields(pods) {
		got, err := m.s.Kubectl("", "exec", "--namespace=shop", pod, "--", "sh", "-c",
			"cd /mnt/secrets-store && cat "+strings.Join(externalSecrets(), "/password ")+"/password")
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("the volumes of pod %s hold %q, want %q", pod, got, want)
		}
	}
	return nil
}
