package judge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"testing"

	esv1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

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
		if made.stays(es) {
			continue
		}
		if !judgeable(c, es) {
			found.differences[c.name+": "+es.id()+": not judged"] = "the emulator is no private cloud"
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

func deepCopy(o object) map[string]any { return runtime.DeepCopyJSON(o) }
