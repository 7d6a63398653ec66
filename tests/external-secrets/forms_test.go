package judge

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"testing"

	esv1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	"software.sslmate.com/src/go-pkcs12"
)

// Objects that the documentation lists with another encoding hold the same key and certificates.
func TestCertificatesAndKeysWithAnotherEncodingAreTheSame(t *testing.T) {
	c := world.certificates
	es := c.externalSecrets()[0]
	read, err := externalSecret(es)
	if err != nil {
		t.Fatal(err)
	}
	operator := &operator{cluster: world.clusters[c].client(), store: c.store, azureSDK: true}
	secret, err := operator.secret(context.Background(), read)
	if err != nil {
		t.Fatal(err)
	}
	output, err := convert(c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.MkdirTemp("/dev/shm", "external-secrets-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	target, err := mount(output.classes(c)[0], esv1.AzureManagedIdentity, world.credentials, folder)
	if err != nil {
		t.Fatal(err)
	}
	mounted, err := files(target)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"pem", "site.pfx"} {
		if got := mounted[key].content; got != string(secret.Data[key]) {
			t.Errorf("%s is\n%s\nwant the operator's\n%s", key, got, secret.Data[key])
		}
	}
	der, err := base64.StdEncoding.DecodeString(string(secret.Data["bundle"]))
	if err != nil {
		t.Fatal(err)
	}
	key, leaf, authorities, err := pkcs12.DecodeChain(der, "")
	if err != nil {
		t.Fatal(err)
	}
	keys, chain := parsePEM(t, mounted["bundle"].content)
	if len(keys) != 1 || !keys[0].Equal(key) {
		t.Errorf("bundle has %d keys, want the one of the PKCS#12 file", len(keys))
	}
	equalChains(t, "bundle", chain, append([]*x509.Certificate{leaf}, authorities...))

	_, chain = parsePEM(t, mounted["cert"].content)
	certificate, err := x509.ParseCertificate(secret.Data["cert"])
	if err != nil {
		t.Fatal(err)
	}
	equalChains(t, "cert", chain, []*x509.Certificate{certificate})

	var jwk struct{ N, E string }
	if err := json.Unmarshal(secret.Data["key"], &jwk); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(mounted["key"].content))
	if block == nil {
		t.Fatalf("key is not PEM: %q", mounted["key"].content)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	want := &rsa.PublicKey{N: number(t, jwk.N), E: int(number(t, jwk.E).Int64())}
	if got, ok := public.(*rsa.PublicKey); !ok || !got.Equal(want) {
		t.Error("key is not the key of the JSON Web Key")
	}
}

// parsePEM returns the private keys and the certificates of a PEM text, in their order.
func parsePEM(t *testing.T, text string) ([]*rsa.PrivateKey, []*x509.Certificate) {
	t.Helper()
	var keys []*rsa.PrivateKey
	var chain []*x509.Certificate
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, certificate)
			continue
		}
		key, err := privateKey(pem.EncodeToMemory(block))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys, chain
}

func equalChains(t *testing.T, what string, got, want []*x509.Certificate) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s has %d certificates, want %d", what, len(got), len(want))
		return
	}
	for index := range want {
		if !bytes.Equal(got[index].Raw, want[index].Raw) {
			t.Errorf("%s: certificate %d is %s, want %s", what, index, got[index].Subject, want[index].Subject)
		}
	}
}

func number(t *testing.T, text string) *big.Int {
	t.Helper()
	read, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return new(big.Int).SetBytes(read)
}
