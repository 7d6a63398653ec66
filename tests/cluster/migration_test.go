package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const migrationGuide = "docs/from-external-secrets.md"

// migrated are the Secrets of testdata/migration that pods take variables from, by their ExternalSecrets.
var migrated = map[string]string{"database": "database", "queue": "queue", "mail": "mail-account"}

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
	readers := m.startReaders()
	readers.atLeast(2)

	m.run(shellBlocks(s.t, migrationGuide, "### 1. Prepare")...)
	for _, externalSecret := range m.externalSecrets() {
		m.run(m.commandsFor(externalSecret, shellBlocks(s.t, migrationGuide, "### 2. The operator gives the Secret up"))...)
	}
	readers.atLeast(2)
	m.run(shellBlocks(s.t, migrationGuide, "### 3. The driver takes the Secret over")...)
	readers.mount(true)
	m.watch.forget("settings")
	m.run(shellBlocks(s.t, migrationGuide, "### 4. Delete what is left")...)
	s.secretGoes("shop", "settings")
	for _, secret := range migrated {
		s.until(func() error { return m.belongsToTheDriver(secret) })
	}
	m.changesTo("second", readers)

	readers.mount(false)
	rollback := shellBlocks(s.t, migrationGuide, "## Back to the operator")
	for _, externalSecret := range m.externalSecrets() {
		m.run(m.commandsFor(externalSecret, rollback[:1])...)
	}
	readers.atLeast(2)
	all := "secretproviderclass " + strings.Join(append(m.externalSecrets(), "settings"), " ")
	m.run(strings.Replace(rollback[1], "secretproviderclass database", all, 1))
	for _, secret := range migrated {
		s.until(func() error { return m.belongsToTheOperator(secret) })
	}
	m.changesTo("third", readers)
	readers.stop()
	m.watch.check()
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
	for _, secret := range migrated {
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

func (m *shop) setValues(value string) {
	m.s.t.Helper()
	for _, name := range []string{"database-password", "queue-password", "mail-password", "settings-password"} {
		m.s.azure.setSecret(m.s.t, "shop", name, value)
	}
}

func (m *shop) externalSecrets() []string {
	var names []string
	for name := range migrated {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
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

// changesTo writes new versions, waits until they are in the Secrets, and then accepts no other value in a new pod.
func (m *shop) changesTo(value string, readers *readers) {
	m.s.t.Helper()
	before := m.watch.accepts()
	m.watch.accept(append(slices.Clone(before), value)...)
	m.setValues(value)
	for _, secret := range migrated {
		want := map[string]string{"password": value}
		if secret == "database" {
			want["username"] = "shop"
		}
		m.s.comesToHold("shop", secret, want)
	}
	m.watch.accept(value)
	readers.atLeast(2)
}

// readers creates pods that take variables from the Secrets, one after another, until it is stopped.
type readers struct {
	m        *shop
	stopped  atomic.Bool
	ready    atomic.Int64
	workers  sync.WaitGroup
	mutex    sync.Mutex
	failures []string
	// One of the two workers creates pods that mount a class; it holds the lock while such a pod starts.
	mountLock sync.Mutex
	mounts    bool
}

func (m *shop) startReaders() *readers {
	r := &readers{m: m}
	for _, worker := range []string{"plain", "mounting"} {
		r.workers.Go(func() {
			for count := 1; !r.stopped.Load(); count++ {
				if err := r.onePod(worker == "mounting", fmt.Sprintf("%s-%d", worker, count)); err != nil {
					r.mutex.Lock()
					r.failures = append(r.failures, err.Error())
					r.mutex.Unlock()
					return
				}
				r.ready.Add(1)
			}
		})
	}
	m.s.t.Cleanup(func() { r.stopped.Store(true); r.workers.Wait() })
	return r
}

// mount begins or ends that every second pod mounts a class.
func (r *readers) mount(mounts bool) {
	r.mountLock.Lock()
	defer r.mountLock.Unlock()
	r.mounts = mounts
}

func (r *readers) onePod(mayMount bool, name string) error {
	manifest := podManifest("shop", name, "app", "database",
		withEnvironment("DATABASE", "database", "password"), withEnvironment("QUEUE", "queue", "password"),
		withEnvironment("MAIL", "mail-account", "password"))
	if mayMount {
		r.mountLock.Lock()
		defer r.mountLock.Unlock()
	}
	if !mayMount || !r.mounts {
		manifest, _, _ = strings.Cut(manifest, "    volumeMounts:")
	}
	kubectl := r.m.s.cluster.Kubectl
	accepted := r.m.watch.accepts()
	if _, err := kubectl(manifest, "create", "--filename=-"); err != nil {
		return err
	}
	if _, err := kubectl("", "wait", "--for=condition=Ready", "--timeout="+patience.String(), "--namespace=shop", "pod/"+name); err != nil {
		return err
	}
	values, err := kubectl("", "exec", "--namespace=shop", name, "--", "sh", "-c", `printf %s "$DATABASE $QUEUE $MAIL"`)
	if err != nil {
		return err
	}
	accepted = append(slices.Clone(accepted), r.m.watch.accepts()...)
	for _, value := range strings.Split(values, " ") {
		if !slices.Contains(accepted, value) {
			return fmt.Errorf("pod %s reads %q, want values among %q", name, values, accepted)
		}
	}
	_, err = kubectl("", "delete", "pod", name, "--namespace=shop", "--wait=false")
	return err
}

// atLeast waits until this many more pods have started from now on.
func (r *readers) atLeast(more int64) {
	r.m.s.t.Helper()
	wanted := r.ready.Load() + more
	r.m.s.until(func() error {
		if ready := r.ready.Load(); ready < wanted {
			return fmt.Errorf("%d pods have read the Secrets, want %d\n%s", ready, wanted, r.failed())
		}
		return nil
	})
}

// stop creates no more pods, and fails the scenario if one has not started at once with the right values.
func (r *readers) stop() {
	s := r.m.s
	s.t.Helper()
	r.stopped.Store(true)
	r.workers.Wait()
	if failed := r.failed(); failed != "" {
		s.t.Errorf("every pod must become ready with values of the Secrets:\n%s", failed)
	}
	// kubelet says so when a container waits for a Secret or a key.
	refused := s.kubectl("get", "events", "--namespace=shop", "--field-selector=reason=Failed",
		`--output=jsonpath={range .items[*]}{.involvedObject.name}: {.message}{"\n"}{end}`)
	if refused != "" {
		s.t.Errorf("no container may wait for a Secret:\n%s", refused)
	}
	s.t.Logf("%d pods have read the Secrets", r.ready.Load())
}

func (r *readers) failed() string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return strings.Join(r.failures, "\n")
}
