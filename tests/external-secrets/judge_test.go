package judge

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	esv1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	inputs        = "../data/convert"
	ownInputs     = "testdata/cases"
	otherForms    = "testdata/forms"
	documentation = "testdata/operator"
	// golden lists what is not the same, and what convert does not carry over.
	golden = "testdata/differences.txt"
)

var update = flag.Bool("update", false, "write "+golden+" anew")

// world is what every test shares: one emulator, which this process takes for Azure.
var world struct {
	// cases become the same bytes; certificates come in other forms, and documented is for the operator alone.
	cases                    []*testCase
	certificates, documented *testCase
	clusters                 map[*testCase]*cluster
	wanted                   needs
	azure                    *azure
	credentials              *credentials
}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "external-secrets-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(folder)
	certificate, err := newMaterial()
	if err != nil {
		return 1, err
	}
	if world.cases, err = readCases(inputs); err != nil {
		return 1, err
	}
	own, err := readCases(ownInputs)
	if err != nil {
		return 1, err
	}
	forms, err := readCases(otherForms)
	if err != nil {
		return 1, err
	}
	documented, err := readCases(documentation)
	if err != nil {
		return 1, err
	}
	world.cases, world.certificates, world.documented = append(world.cases, own...), forms[0], documented[0]
	world.clusters, world.wanted = map[*testCase]*cluster{}, needs{}
	clients := map[string]subjects{}
	for _, c := range slices.Concat(world.cases, forms, documented) {
		world.wanted.collect(c)
		made, err := newCluster(c, certificate)
		if err != nil {
			return 1, fmt.Errorf("%s: %w", c.name, err)
		}
		world.clusters[c] = made
		for client, allowed := range made.clients {
			if clients[client] == nil {
				clients[client] = subjects{}
			}
			maps.Copy(clients[client], allowed)
		}
	}
	seed, err := seedFor(world.wanted, clients, certificate)
	if err != nil {
		return 1, err
	}
	if world.azure, err = startAzure(folder, seed); err != nil {
		return 1, err
	}
	defer func() {
		if stopped := world.azure.stop(); err == nil {
			err = stopped
		}
	}()
	if err := world.azure.adopt(); err != nil {
		return 1, err
	}
	if world.credentials, err = world.azure.credentials(); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// credentials are those of a pod on the emulated node.
func (a *azure) credentials() (*credentials, error) {
	token, err := a.serviceAccountToken(podNamespace, podAccount)
	if err != nil {
		return nil, err
	}
	tokenFile := filepath.Join(a.folder, "pod-token")
	return &credentials{
		environment:     []string{"HTTPS_PROXY=" + a.environment["HTTPS_PROXY"], "SSL_CERT_FILE=" + a.environment["SSL_CERT_FILE"]},
		tokenFile:       tokenFile,
		metadataService: a.environment["KEYVAULT_EMULATOR_IMDS_URL"],
	}, os.WriteFile(tokenFile, []byte(token), 0o600)
}

// The values that every secret has in turn; each is told apart from the others by its place.
var contents = []struct{ name, pattern string }{
	{"text", "%s"},
	{"lines", "%s\nsecond line\n"},
	{"spaces", " \t%s \r\n\n"},
	{"unicode", "\ufeff%s é ☃ 🔑"},
	{"template", "{{ .%s }} $(VAR) \\n \"quoted\""},
	{"json", `{"place": "%s", "n": 1.50, "list": [1, 2]}`},
	{"pem", "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"},
}

func TestTheDriverSyncsAndMountsWhatTheOperatorPutIntoItsSecrets(t *testing.T) {
	found := &findings{judged: map[string]bool{}, differences: map[string]string{}}
	for _, c := range world.cases {
		t.Run(c.name, func(t *testing.T) {
			made, err := convert(c, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, es := range c.externalSecrets() {
				name := c.name + ": " + es.id()
				for _, loss := range made.lost[es.id()] {
					found.differences[name+": "+loss.place] = "not carried over: " + loss.reason
				}
			}
			for _, content := range contents {
				t.Run(content.name, func(t *testing.T) {
					world.wanted.write(t, content.pattern)
					judge(t, c, made, found)
				})
			}
		})
	}
	found.report(t)
}

// write gives every secret that holds no certificate a new value.
func (n needs) write(t *testing.T, pattern string) {
	t.Helper()
	values := map[string]string{}
	for place, need := range n {
		if need.kind == "secret" && !need.pkcs12 && need.certificate == "" {
			values[place] = need.value(fmt.Sprintf(pattern, place))
		}
	}
	if err := world.azure.setSecrets(values); err != nil {
		t.Fatal(err)
	}
}

// judge compares everything that a case became with what the operator makes.
func judge(t *testing.T, c *testCase, made *converted, found *findings) {
	t.Helper()
	targets := map[string]*target{}
	for _, es := range c.externalSecrets() {
		if made.stays(es) || !judgeable(c, es) {
			continue
		}
		rest, lost := without(es, made.lost[es.id()])
		read, err := externalSecret(rest)
		if err != nil {
			t.Errorf("%s: %v", es.id(), err)
			continue
		}
		store, err := c.store(read.Spec.SecretStoreRef, read.Namespace)
		if err != nil {
			t.Error(err)
			continue
		}
		secret, err := operators(c, read, store)
		if err != nil {
			t.Errorf("%s: the operator makes no Secret: %v", es.id(), err)
			continue
		}
		for key := range lost {
			delete(secret.Data, key)
		}
		targets[secret.Namespace+"/"+secret.Name] = &target{
			name: c.name + ": " + es.id(), secret: secret, lost: lost, login: authType(store),
			typeIsLost: slices.ContainsFunc(made.lost[es.id()], func(loss loss) bool { return loss.place == "spec.target.template.type" }),
		}
	}
	for _, class := range made.classes(c) {
		t.Run(class.name(), func(t *testing.T) { judgeClass(t, c, made, class, targets, found) })
	}
	for name, target := range targets {
		if !target.judged {
			t.Errorf("no class takes the place of Secret %s", name)
		}
		found.judged[target.name] = true
	}
}

// operators is the Secret that the operator makes. If it can log in with both of its clients of Azure, they must agree.
func operators(c *testCase, es *esv1.ExternalSecret, store esv1.GenericStore) (*corev1.Secret, error) {
	var secret *corev1.Secret
	for _, azureSDK := range azureSDKs(store) {
		operator := &operator{cluster: world.clusters[c].client(), store: c.store, azureSDK: azureSDK}
		made, err := operator.secret(context.Background(), es)
		if err != nil {
			return nil, err
		}
		if secret != nil && !reflect.DeepEqual(made, secret) {
			return nil, errors.New("its two clients of Azure do not agree")
		}
		secret = made
	}
	return secret, nil
}

// target is a Secret of the operator.
type target struct {
	// name is the case's and the ExternalSecret's.
	name   string
	secret *corev1.Secret
	// lost are keys of which convert says that they are not carried over.
	lost map[string]bool
	// login is how its store logs in.
	login      esv1.AzureAuthType
	typeIsLost bool
	judged     bool
}

// judgeable is whether the emulator can stand for the stores of an ExternalSecret.
func judgeable(c *testCase, es object) bool {
	reference := es.at("spec", "secretStoreRef")
	store, ok := c.find(text(reference, "kind"), es.namespace(), text(reference, "name"))
	return !ok || text(store.at("spec", "provider", "azurekv"), "environmentType") != "AzureStackCloud"
}

func judgeClass(t *testing.T, c *testCase, made *converted, class object, targets map[string]*target, found *findings) {
	t.Helper()
	if text(class.at("spec", "parameters"), "cloudName") == "AzureStackCloud" {
		t.Skip("the emulator is no private cloud")
	}
	folder, err := os.MkdirTemp("/dev/shm", "external-secrets-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	uses := usesOf(c, made, class)
	if len(uses) == 0 {
		t.Fatalf("class %s is of no Secret", class.name())
	}
	var mounted string
	for _, use := range uses {
		target, ok := targets[class.namespace()+"/"+use.secret]
		if !ok {
			t.Errorf("class %s is of Secret %s, which the operator does not make", class.name(), use.secret)
			continue
		}
		target.judged = true
		if mounted == "" {
			if mounted, err = mount(class, target.login, world.credentials, folder); err != nil {
				t.Fatal(err)
			}
		}
		use.compare(t, target, class, mounted, found)
	}
}

// use is a Secret that a class stands for, as a Secret or as a volume.
type use struct {
	secret       string
	secretObject object
	volume       object
}

// usesOf finds what a class stands for.
func usesOf(c *testCase, made *converted, class object) []use {
	var uses []use
	for _, secretObject := range class.list("spec", "secretObjects") {
		uses = append(uses, use{secret: text(secretObject, "secretName"), secretObject: secretObject})
	}
	for _, after := range made.objects {
		before, ok := c.find(after.kind(), after.namespace(), after.name())
		if !ok || after.namespace() != class.namespace() {
			continue
		}
		was := volumes(before)
		for at, volume := range volumes(after) {
			attributes := volume.at("csi", "volumeAttributes")
			secret := text(was[at].at("secret"), "secretName")
			if text(attributes, "secretProviderClass") == class.name() && secret != "" {
				uses = append(uses, use{secret: secret, volume: was[at].at("secret")})
			}
		}
	}
	return uses
}

func (u use) compare(t *testing.T, target *target, class object, mounted string, found *findings) {
	t.Helper()
	if u.volume != nil {
		got, err := files(mounted)
		if err != nil {
			t.Fatal(err)
		}
		u.compareFiles(t, target, got)
		return
	}
	got, err := synced(class, u.secretObject, mounted)
	if err != nil {
		t.Fatal(err)
	}
	if got.Type != target.secret.Type && !target.typeIsLost {
		t.Errorf("Secret %s: type is %s, and the operator's %s", u.secret, got.Type, target.secret.Type)
	}
	for key := range target.lost {
		delete(got.Data, key)
	}
	if got.Type == corev1.SecretTypeTLS && sameKey(got.Data, target.secret.Data) {
		got.Data[corev1.TLSPrivateKeyKey] = target.secret.Data[corev1.TLSPrivateKeyKey]
		found.differences[target.name+": "+corev1.TLSPrivateKeyKey] = "the same private key, which the driver encodes anew"
	}
	differ(t, "Secret "+u.secret, got.Data, target.secret.Data)
}

// compareFiles compares a volume with what kubelet makes of a Secret.
func (u use) compareFiles(t *testing.T, target *target, got map[string]file) {
	t.Helper()
	wanted, contents := map[string]os.FileMode{}, map[string][]byte{}
	mode := func(o object, field string, other os.FileMode) os.FileMode {
		if number, ok := o[field].(int64); ok {
			return os.FileMode(number)
		}
		return other
	}
	usual := mode(u.volume, "defaultMode", 0o644)
	items := u.volume.list("items")
	if items == nil {
		for key := range target.secret.Data {
			items = append(items, object{"key": key, "path": key})
		}
		for key := range target.lost {
			delete(got, key)
		}
	}
	for _, item := range items {
		key, path := text(item, "key"), text(item, "path")
		if target.lost[key] {
			delete(got, path)
		} else if value, ok := target.secret.Data[key]; ok {
			wanted[path], contents[path] = mode(item, "mode", usual), value
		}
	}
	found := map[string][]byte{}
	for path, file := range got {
		found[path] = []byte(file.content)
		if mode, ok := wanted[path]; ok && mode != file.mode {
			t.Errorf("volume of Secret %s: %s has mode %o, and kubelet's %o", u.secret, path, file.mode, mode)
		}
	}
	differ(t, "volume of Secret "+u.secret, found, contents)
}

func differ(t *testing.T, what string, got, want map[string][]byte) {
	t.Helper()
	for key := range want {
		if _, ok := got[key]; !ok {
			t.Errorf("%s: %s is missing", what, key)
		} else if !bytes.Equal(got[key], want[key]) {
			t.Errorf("%s: %s is\n%q\nand the operator's is\n%q", what, key, got[key], want[key])
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s: %s is there, and the operator has none", what, key)
		}
	}
}

// sameKey is whether tls.key is the same private key, in other bytes.
func sameKey(got, want map[string][]byte) bool {
	ours, theirs := got[corev1.TLSPrivateKeyKey], want[corev1.TLSPrivateKeyKey]
	if bytes.Equal(ours, theirs) {
		return false
	}
	one, err := privateKey(ours)
	if err != nil {
		return false
	}
	other, err := privateKey(theirs)
	return err == nil && one.Equal(other)
}

// findings are what all cases show.
type findings struct {
	// judged are the ExternalSecrets that were compared.
	judged map[string]bool
	// differences are the places that were not compared or are not the same, with the reason.
	differences map[string]string
}

// report prints what was compared and what was not, and checks the latter against the list.
func (f *findings) report(t *testing.T) {
	t.Helper()
	fmt.Printf("compared, each with %d kinds of values:\n", len(contents))
	for _, name := range slices.Sorted(maps.Keys(f.judged)) {
		fmt.Println("  " + name)
	}
	var list strings.Builder
	fmt.Println("not carried over, or not the same bytes:")
	for _, place := range slices.Sorted(maps.Keys(f.differences)) {
		fmt.Printf("  %s: %s\n", place, f.differences[place])
		fmt.Fprintln(&list, place)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(list.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != list.String() {
		t.Errorf("%s is not what was found; see what changed, and write it anew with go test -update", golden)
	}
}

func deepCopy(o object) map[string]any { return runtime.DeepCopyJSON(o) }
