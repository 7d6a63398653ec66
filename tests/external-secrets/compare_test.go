package judge

import (
	"bytes"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// use is a Secret that a class replaces, as a Secret or as a volume.
type use struct {
	secret       string
	secretObject object
	volume       object
}

// usesOf finds the Secrets and volumes that a class replaces.
func usesOf(c *testCase, output *converted, class object) []use {
	var uses []use
	for _, secretObject := range class.list("spec", "secretObjects") {
		uses = append(uses, use{secret: text(secretObject, "secretName"), secretObject: secretObject})
	}
	for _, after := range output.objects {
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
		t.Errorf("Secret %s: type is %s, want the operator's %s", u.secret, got.Type, target.secret.Type)
	}
	for key := range target.lost {
		delete(got.Data, key)
	}
	if got.Type == corev1.SecretTypeTLS && sameKey(got.Data, target.secret.Data) {
		got.Data[corev1.TLSPrivateKeyKey] = target.secret.Data[corev1.TLSPrivateKeyKey]
		found.differences[target.name+": "+corev1.TLSPrivateKeyKey] = "the same private key, which the driver encodes again"
	}
	differ(t, "Secret "+u.secret, got.Data, target.secret.Data)
}

// compareFiles compares the files with those that kubelet writes for a volume of the Secret.
func (u use) compareFiles(t *testing.T, target *target, got map[string]file) {
	t.Helper()
	wantModes, wantContents := map[string]os.FileMode{}, map[string][]byte{}
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
			wantModes[path], wantContents[path] = mode(item, "mode", usual), value
		}
	}
	found := map[string][]byte{}
	for path, file := range got {
		found[path] = []byte(file.content)
		if mode, ok := wantModes[path]; ok && mode != file.mode {
			t.Errorf("volume of Secret %s: %s has mode %o, want kubelet's %o", u.secret, path, file.mode, mode)
		}
	}
	differ(t, "volume of Secret "+u.secret, found, wantContents)
}

func differ(t *testing.T, what string, got, want map[string][]byte) {
	t.Helper()
	for key := range want {
		if _, ok := got[key]; !ok {
			t.Errorf("%s: %s is missing", what, key)
		} else if !bytes.Equal(got[key], want[key]) {
			t.Errorf("%s: %s is\n%q\nwant the operator's\n%q", what, key, got[key], want[key])
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s: %s is unexpected: the operator has no such key", what, key)
		}
	}
}

// sameKey reports whether tls.key is the same private key in another encoding.
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
