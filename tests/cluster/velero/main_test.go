package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const example = "../../../examples/velero/cloud-credentials.env"

// report is what the program prints, and its error.
func report(arguments ...string) (string, error) {
	var out strings.Builder
	err := run(arguments, &out)
	return out.String(), err
}

func TestVeleroReadsTheExampleAndMakesACredentialOfIt(t *testing.T) {
	want := `variable AZURE_CLIENT_ID
variable AZURE_CLIENT_SECRET
variable AZURE_CLOUD_NAME
variable AZURE_RESOURCE_GROUP
variable AZURE_SUBSCRIPTION_ID
variable AZURE_TENANT_ID
credential *azidentity.ClientSecretCredential
`
	got, err := report(example)
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	t.Setenv(environment, example)
	got, err = report()
	if err != nil || got != want {
		t.Errorf("by %s: %v\n%s", environment, err, got)
	}
}

func TestAFileThatVeleroCannotUseIsRefusedWithTheReason(t *testing.T) {
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	full := string(text)
	without := func(name string) string {
		var kept strings.Builder
		for line := range strings.Lines(full) {
			if !strings.HasPrefix(line, name+"=") {
				kept.WriteString(line)
			}
		}
		return kept.String()
	}
	cases := map[string]struct{ text, want string }{
		"no tenant":     {without("AZURE_TENANT_ID"), "AZURE_TENANT_ID is required"},
		"no client":     {without("AZURE_CLIENT_ID"), "AZURE_CLIENT_ID is required"},
		"no secret":     {without("AZURE_CLIENT_SECRET"), "*azidentity.ManagedIdentityCredential and not with this file"},
		"another cloud": {strings.Replace(full, "AzurePublicCloud", "AzureMoonCloud", 1), "unknown cloud: AzureMoonCloud"},
		"empty":         {"", "finds no variable"},
		"not a dotenv":  {"top secret\n", "cannot read it as a dotenv file"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "credentials")
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := report(file)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v\n%s", err, out)
			}
			if strings.Contains(out+err.Error(), "secret of that application") || strings.Contains(err.Error(), "top secret") {
				t.Errorf("a value is shown: %v\n%s", err, out)
			}
		})
	}
	if _, err := report(filepath.Join(t.TempDir(), "missing")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing file: %v", err)
	}
	t.Setenv(environment, "")
	if _, err := report(); err == nil || !strings.Contains(err.Error(), "no credentials file") {
		t.Errorf("no file: %v", err)
	}
}
