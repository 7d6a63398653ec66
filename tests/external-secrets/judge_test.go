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

// The values of the secrets, one kind for each run. Each value contains the vault and name of its secret.
var contents = []struct{ name, pattern string }{
	{"text", "%s"},
	{"lines", "%s\nsecond line\n"},
	{"spaces", " \t%s \r\n\n"},
	{"unicode", "\ufeff%s é ☃ 🔑"},
	{"template", "{{ .%s }} $(VAR) \\n \"quoted\""},
	{"json", `{"location": "%s", "n": 1.50, "list": [1, 2]}`},
	{"pem", "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"},
}

func TestTheDriverSyncsAndMountsTheContentsOfTheOperatorsSecrets(t *testing.T) {
	found := &findings{judged: map[string]bool{}, differences: map[string]string{}}
	for _, c := range world.cases {
		t.Run(c.name, func(t *testing.T) {
			output, err := convert(c, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, es := range c.externalSecrets() {
				name := c.name + ": " + es.id()
				for _, loss := range output.lost[es.id()] {
					found.differences[name+": "+loss.location] = "not carried over: " + loss.reason
				}
			}
			for _, content := range contents {
				t.Run(content.name, func(t *testing.T) {
					world.needs.write(t, content.pattern)
					judge(t, c, output, found)
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
	for location, need := range n {
		if need.kind == "secret" && !need.pkcs12 && need.certificate == "" {
			values[location] = need.value(fmt.Sprintf(pattern, location))
		}
	}
	if err := world.azure.setSecrets(values); err != nil {
		t.Fatal(err)
	}
}

// judge compares the Secrets and files of a converted case with those of the operator.
func judge(t *testing.T, c *testCase, output *converted, found *findings) {
	t.Helper()
	targets := map[string]*target{}
	for _, es := range c.externalSecrets() {
		if output.keeps(es) {
			continue
		}
		if !judgeable(c, es) {
			found.differences[c.name+": "+es.id()+": not judged"] = "the emulator does not serve a private cloud"
			continue
		}
		rest, lost := without(es, output.lost[es.id()])
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
		secret, err := operatorSecret(c, read, store)
		if err != nil {
			t.Errorf("%s: the operator creates no Secret: %v", es.id(), err)
			continue
		}
		for key := range lost {
			delete(secret.Data, key)
		}
		targets[secret.Namespace+"/"+secret.Name] = &target{
			name: c.name + ": " + es.id(), secret: secret, lost: lost, login: authType(store),
			typeIsLost: slices.ContainsFunc(output.lost[es.id()], func(loss loss) bool { return loss.location == "spec.target.template.type" }),
		}
	}
	for _, class := range output.classes(c) {
		t.Run(class.name(), func(t *testing.T) { judgeClass(t, c, output, class, targets, found) })
	}
	for name, target := range targets {
		if !target.judged {
			t.Errorf("no class replaces Secret %s", name)
		}
		found.judged[target.name] = true
	}
}

// operatorSecret is the Secret that the operator creates. If both of its Azure clients can log in, they must agree.
func operatorSecret(c *testCase, es *esv1.ExternalSecret, store esv1.GenericStore) (*corev1.Secret, error) {
	var secret *corev1.Secret
	for _, azureSDK := range azureSDKs(store) {
		operator := &operator{cluster: world.clusters[c].client(), store: c.store, azureSDK: azureSDK}
		created, err := operator.secret(context.Background(), es)
		if err != nil {
			return nil, err
		}
		if secret != nil && !reflect.DeepEqual(created, secret) {
			return nil, errors.New("its two Azure clients do not agree")
		}
		secret = created
	}
	return secret, nil
}

// target is a Secret of the operator.
type target struct {
	// name is the case's and the ExternalSecret's.
	name   string
	secret *corev1.Secret
	// lost are the keys that convert reports as not carried over.
	lost map[string]bool
	// login is how its store logs in.
	login      esv1.AzureAuthType
	typeIsLost bool
	judged     bool
}

// judgeable reports whether the emulator serves the store of an ExternalSecret.
func judgeable(c *testCase, es object) bool {
	reference := es.at("spec", "secretStoreRef")
	store, ok := c.find(text(reference, "kind"), es.namespace(), text(reference, "name"))
	return !ok || text(store.at("spec", "provider", "azurekv"), "environmentType") != "AzureStackCloud"
}

func judgeClass(t *testing.T, c *testCase, output *converted, class object, targets map[string]*target, found *findings) {
	t.Helper()
	if text(class.at("spec", "parameters"), "cloudName") == "AzureStackCloud" {
		t.Skip("the emulator does not serve a private cloud")
	}
	folder, err := os.MkdirTemp("/dev/shm", "external-secrets-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	uses := usesOf(c, output, class)
	if len(uses) == 0 {
		t.Fatalf("class %s replaces no Secret", class.name())
	}
	var mounted string
	for _, use := range uses {
		target, ok := targets[class.namespace()+"/"+use.secret]
		if !ok {
			t.Errorf("class %s replaces Secret %s, which the operator does not create", class.name(), use.secret)
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
