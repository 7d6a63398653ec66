package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Issuer is the issuer of service account tokens: kubeadm's and kind's default, which examples/kind expects.
const Issuer = "https://kubernetes.default.svc.cluster.local"

// Bearer tokens of the API server's static token file. The API server is reachable in its own network namespace only.
const (
	adminToken = "admin"
	nodeToken  = "node"
	tokenFile  = adminToken + ",admin,admin,system:masters\n" + nodeToken + ",system:node:" + Name + ",node,system:nodes\n"
)

// credentials are the files by which the parts of the cluster trust one another.
type credentials struct{ folder string }

func (c credentials) path(name string) string { return filepath.Join(c.folder, name) }

// newCredentials writes a certificate authority, certificates of the API server, the key of the service account issuer,
// bearer tokens, and a kubeconfig for the administrator and for kubelet.
func newCredentials(folder string) (credentials, error) {
	c := credentials{folder}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return c, err
	}
	authority, err := newAuthority()
	if err != nil {
		return c, err
	}
	server := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		IPAddresses: []net.IP{net.ParseIP(ServiceAddress), net.ParseIP(Address), net.ParseIP("127.0.0.1")},
		DNSNames:    []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	client := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver", Organization: []string{"system:masters"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if err := authority.issue(server, c.path("apiserver")); err != nil {
		return c, err
	}
	if err := authority.issue(client, c.path("apiserver-kubelet")); err != nil {
		return c, err
	}
	issuer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return c, err
	}
	for name, text := range map[string][]byte{
		"ca.pem":             pemOf("CERTIFICATE", authority.certificate.Raw),
		"issuer-key.pem":     pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(issuer)),
		"tokens.csv":         []byte(tokenFile),
		"admin.kubeconfig":   c.kubeconfig(adminToken),
		"kubelet.kubeconfig": c.kubeconfig(nodeToken),
	} {
		if err := os.WriteFile(c.path(name), text, 0o600); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (c credentials) kubeconfig(token string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: cluster
  cluster: {server: "https://%s:443", certificate-authority: %q}
users:
- name: user
  user: {token: %q}
contexts:
- name: context
  context: {cluster: cluster, user: user}
current-context: context
`, Address, c.path("ca.pem"), token)
}

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	issued      int64
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "cluster"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	bytes, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(bytes)
	return &authority{certificate: certificate, key: key, issued: 1}, err
}

// issue writes <path>.pem and <path>-key.pem.
func (a *authority) issue(template *x509.Certificate, path string) error {
	a.issued++
	template.SerialNumber = big.NewInt(a.issued)
	template.NotBefore, template.NotAfter = a.certificate.NotBefore, a.certificate.NotAfter
	template.KeyUsage = x509.KeyUsageDigitalSignature
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".pem", pemOf("CERTIFICATE", certificate), 0o644); err != nil {
		return err
	}
	return os.WriteFile(path+"-key.pem", pemOf("EC PRIVATE KEY", private), 0o600)
}

func pemOf(kind string, bytes []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes})
}
