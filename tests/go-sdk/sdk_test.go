package gosdk

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

const (
	vaultURL      = "https://mykeyvault.vault.azure.net"
	otherVaultURL = "https://othervault.vault.azure.net"
	oldVersion    = "11111111111111111111111111111111"
	newVersion    = "22222222222222222222222222222222"
)

// options send all requests to the emulator, without retries.
func (a *azure) options() azcore.ClientOptions {
	return azcore.ClientOptions{Transport: a, Retry: policy.RetryOptions{MaxRetries: -1}}
}

func (a *azure) clientSecret(t *testing.T, secret string) azcore.TokenCredential {
	t.Helper()
	credential, err := azidentity.NewClientSecretCredential(tenant, clientID, secret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: a.options()})
	return must(t, credential, err)
}

func (a *azure) secrets(t *testing.T, vault string, credential azcore.TokenCredential) *azsecrets.Client {
	t.Helper()
	client, err := azsecrets.NewClient(vault, credential, &azsecrets.ClientOptions{ClientOptions: a.options()})
	return must(t, client, err)
}

func must[T any](t *testing.T, value T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// readsThePassword checks that the credential gets a token with which a secret can be read.
func readsThePassword(t *testing.T, a *azure, credential azcore.TokenCredential) {
	t.Helper()
	answer, err := a.secrets(t, vaultURL, credential).GetSecret(context.Background(), "database-password", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if *answer.Value != "the new one" || answer.ID.Version() != newVersion || *answer.Tags["owner"] != "team-a" {
		t.Errorf("the secret is %q, version %s, tags %v", *answer.Value, answer.ID.Version(), answer.Tags)
	}
}

func TestAClientSecretGetsATokenForAVault(t *testing.T) {
	a := start(t)
	readsThePassword(t, a, a.clientSecret(t, clientSecret))
}

func TestAPodsTokenGetsATokenForAVaultByWorkloadIdentity(t *testing.T) {
	a := start(t)
	credential, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: a.options(), TenantID: tenant, ClientID: clientID, TokenFilePath: a.tokenFile(t, "workload-identity-sa"),
	})
	readsThePassword(t, a, must(t, credential, err))
}

func TestTheNodesIdentityGetsATokenForAVaultFromTheMetadataService(t *testing.T) {
	a := start(t)
	credential, err := azidentity.NewManagedIdentityCredential(
		&azidentity.ManagedIdentityCredentialOptions{ClientOptions: a.options()})
	readsThePassword(t, a, must(t, credential, err))
}

func TestARefusalOfEntraHasItsCode(t *testing.T) {
	a := start(t)
	stranger, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: a.options(), TenantID: tenant, ClientID: clientID, TokenFilePath: a.tokenFile(t, "stranger"),
	})
	for code, credential := range map[string]azcore.TokenCredential{
		"AADSTS7000215": a.clientSecret(t, "a guess"),
		"AADSTS700213":  must(t, stranger, err),
	} {
		_, err := a.secrets(t, vaultURL, credential).GetSecret(context.Background(), "database-password", "", nil)
		var failed *azidentity.AuthenticationFailedError
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), code) {
			t.Errorf("the error is %v, want an authentication failure with %s", err, code)
		}
	}
}

func TestARefusalOfAVaultHasItsStatusAndCode(t *testing.T) {
	a := start(t)
	credential := a.clientSecret(t, clientSecret)
	for _, refusal := range []struct {
		vault, name, code string
		status            int
	}{
		{vaultURL, "not-there", "SecretNotFound", 404},
		{vaultURL, "turned-off", "Forbidden", 403},
		{otherVaultURL, "database-password", "Forbidden", 403},
	} {
		_, err := a.secrets(t, refusal.vault, credential).GetSecret(context.Background(), refusal.name, "", nil)
		var answer *azcore.ResponseError
		if !errors.As(err, &answer) || answer.StatusCode != refusal.status || answer.ErrorCode != refusal.code {
			t.Errorf("secret %s of %s: %v, want %d %s", refusal.name, refusal.vault, err, refusal.status, refusal.code)
		}
	}
}

func TestASecretIsReadByVersionAndItsVersionsAreListed(t *testing.T) {
	a := start(t)
	client := a.secrets(t, vaultURL, a.clientSecret(t, clientSecret))
	answer, err := client.GetSecret(context.Background(), "database-password", oldVersion, nil)
	if err != nil {
		t.Fatal(err)
	}
	if *answer.Value != "the old one" {
		t.Errorf("version %s is %q", oldVersion, *answer.Value)
	}
	var versions []string
	for pager := client.NewListSecretPropertiesVersionsPager("database-password", nil); pager.More(); {
		page, err := pager.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, properties := range page.Value {
			versions = append(versions, properties.ID.Version())
		}
	}
	slices.Sort(versions)
	if want := []string{oldVersion, newVersion}; !slices.Equal(versions, want) {
		t.Errorf("the versions are %v, want %v", versions, want)
	}
}

func TestKeysAreReadAndListed(t *testing.T) {
	a := start(t)
	client, err := azkeys.NewClient(vaultURL, a.clientSecret(t, clientSecret), &azkeys.ClientOptions{ClientOptions: a.options()})
	if err != nil {
		t.Fatal(err)
	}
	rsa, err := client.GetKey(context.Background(), "wrapping", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if *rsa.Key.Kty != azkeys.KeyTypeRSA || len(rsa.Key.N) != 256 || *rsa.Tags["owner"] != "team-a" {
		t.Errorf("the key is %v of %d bytes with the tags %v", *rsa.Key.Kty, len(rsa.Key.N), rsa.Tags)
	}
	ec, err := client.GetKey(context.Background(), "signing", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if *ec.Key.Crv != azkeys.CurveNameP256 || len(ec.Key.X) != 32 || len(ec.Key.Y) != 32 {
		t.Errorf("the key is on %v with coordinates of %d and %d bytes", *ec.Key.Crv, len(ec.Key.X), len(ec.Key.Y))
	}
	var names []string
	for pager := client.NewListKeyPropertiesPager(nil); pager.More(); {
		page, err := pager.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, properties := range page.Value {
			names = append(names, properties.KID.Name())
		}
	}
	slices.Sort(names)
	// Keys that belong to certificates are listed as well.
	if want := []string{"signing", "web-tls", "wrapping"}; !slices.Equal(names, want) {
		t.Errorf("the keys are %v, want %v", names, want)
	}
}

func TestACertificateIsReadAndItsSecretHoldsItsKey(t *testing.T) {
	a := start(t)
	credential := a.clientSecret(t, clientSecret)
	client, err := azcertificates.NewClient(vaultURL, credential, &azcertificates.ClientOptions{ClientOptions: a.options()})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.GetCertificate(context.Background(), "web-tls", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x509.ParseCertificate(answer.CER); err != nil {
		t.Errorf("cer is no certificate: %v", err)
	}
	secret, err := a.secrets(t, vaultURL, credential).GetSecret(context.Background(), answer.SID.Name(), answer.SID.Version(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if *secret.Value != certificate(t) || *secret.ContentType != "application/x-pem-file" || string(*secret.KID) != string(*answer.KID) {
		t.Errorf("the certificate's secret has the type %s and the key %s", *secret.ContentType, *secret.KID)
	}
	if !strings.Contains(*secret.Value, "PRIVATE KEY") {
		t.Error("the certificate's secret has no private key")
	}
	if block, _ := pem.Decode([]byte(*secret.Value)); block == nil {
		t.Error("the certificate's secret is not PEM")
	}
}
