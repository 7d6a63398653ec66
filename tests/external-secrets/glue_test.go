package judge

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// The steps of the controller in operator_test.go follow the operator's documentation for every field that they read,
// including fields that convert does not carry over.
func TestTheOperatorsSecretsMatchItsDocumentation(t *testing.T) {
	world.needs.write(t, "value of %s")
	c := world.documented
	const first = "value of operator-vault/found-first"
	wantSecrets := map[string]*corev1.Secret{
		"all": {Type: corev1.SecretTypeOpaque, Data: map[string][]byte{
			"login":      []byte("user of value of operator-vault/account"),
			"nested":     []byte(`{"value":"nested.value of value of operator-vault/account"}`),
			"from-first": []byte(first),
			"from-blob":  []byte("dmFsdWUgb2Ygb3BlcmF0b3ItdmF1bHQvZm91bmQtYmxvYg=="),
			"user":       []byte(first),
			"field":      []byte("nested.value of value of operator-vault/account"),
			"bytes":      []byte("value of operator-vault/found-blob"),
			"owner":      []byte("team-a"),
		}},
		"templated": {Type: "example.com/custom", Data: map[string][]byte{
			"user":       []byte(first),
			"url":        []byte("https://VALUE OF OPERATOR-VAULT/FOUND-FIRST@shop.example"),
			"greeting":   []byte("hello " + first),
			"by-literal": []byte(first),
		}},
		"replaced": {Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"only": []byte(first)}},
	}
	operator := &operator{cluster: world.clusters[c].client(), store: c.store, azureSDK: true}
	for _, es := range c.externalSecrets() {
		t.Run(es.name(), func(t *testing.T) {
			read, err := externalSecret(es)
			if err != nil {
				t.Fatal(err)
			}
			got, err := operator.secret(context.Background(), read)
			if err != nil {
				t.Fatal(err)
			}
			want := wantSecrets[es.name()]
			if got.Type != want.Type {
				t.Errorf("type is %s, want %s", got.Type, want.Type)
			}
			differ(t, es.name(), got.Data, want.Data)
		})
	}
}
