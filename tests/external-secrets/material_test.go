package judge

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// material is a certificate with its key and chain, generated for each run.
type material struct {
	key   *rsa.PrivateKey
	chain []*x509.Certificate
}

// newMaterial creates a root, an intermediate authority and a leaf.
func newMaterial() (*material, error) {
	m := &material{}
	var issuer *x509.Certificate
	var issuerKey *rsa.PrivateKey
	for serial, name := range []string{"root", "intermediate", "shop.example"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		isAuthority := name != "shop.example"
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(serial) + 1),
			Subject:      pkix.Name{CommonName: name},
			NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
			IsCA: isAuthority, BasicConstraintsValid: true,
		}
		if issuer == nil {
			issuer, issuerKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, issuerKey)
		if err != nil {
			return nil, err
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		m.key, m.chain = key, append([]*x509.Certificate{certificate}, m.chain...)
		issuer, issuerKey = certificate, key
	}
	return m, nil
}

// pkcs12 is the material as Key Vault stores it, in base64.
func (m *material) pkcs12() (string, error) {
	der, err := pkcs12.Legacy.Encode(m.key, m.chain[0], m.chain[1:], "")
	return base64.StdEncoding.EncodeToString(der), err
}

// text is key and chain as PEM.
func (m *material) text() string { return m.keyText() + m.chainText() }

// keyText is the key as PEM of PKCS#8.
func (m *material) keyText() string {
	der, err := x509.MarshalPKCS8PrivateKey(m.key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// chainText is the chain as PEM, leaf first.
func (m *material) chainText() string {
	var out strings.Builder
	for _, certificate := range m.chain {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
	}
	return out.String()
}

// leaf is the first certificate as PEM.
func (m *material) leaf() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.chain[0].Raw}))
}

// privateKey is the RSA key in a PEM text, in PKCS#1 or PKCS#8.
func privateKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	if key, ok := key.(*rsa.PrivateKey); ok {
		return key, nil
	}
	return nil, fmt.Errorf("the key is a %T", key)
}
