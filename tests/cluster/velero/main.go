// Program velero reads a credentials file as Velero does, with Velero's own code, and reports what Velero finds in it.
//
// It prints the names of the variables and the type of the credential, never a value.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/vmware-tanzu/velero/pkg/util/azure"
)

const (
	// environment names the file where the argument does not. Velero reads it, too.
	environment = "AZURE_CREDENTIALS_FILE"
	// configured is the key of a backup location's configuration that names its own file.
	configured = "credentialsFile"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "velero:", err)
		os.Exit(1)
	}
}

// run reports on the file that the argument names, or the environment.
func run(arguments []string, out io.Writer) error {
	if len(arguments) > 1 {
		return errors.New("usage: velero [FILE]: give one file, or set " + environment)
	}
	config := map[string]string{}
	file := os.Getenv(environment)
	if len(arguments) == 1 {
		file = arguments[0]
		config[configured] = file
	}
	// Without a file Velero's loader answers with no variables and no error.
	if file == "" {
		return errors.New("no credentials file: give its path, or set " + environment)
	}
	variables, err := azure.LoadCredentials(config)
	if err != nil {
		return fmt.Errorf("%s: %w", file, withoutContent(err))
	}
	if len(variables) == 0 {
		return fmt.Errorf("%s: Velero finds no variable in it: write lines of the form NAME=value", file)
	}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		fmt.Fprintln(out, "variable", name)
	}
	return credential(file, variables, out)
}

// credential reports which credential Velero makes of the variables.
func credential(file string, variables map[string]string, out io.Writer) error {
	options, err := azure.GetClientOptions(nil, variables)
	if err != nil {
		return fmt.Errorf("%s: %s: Velero does not know this cloud: %w", file, azure.CredentialKeyCloudName, err)
	}
	made, err := azure.NewCredential(variables, options)
	if err != nil {
		return fmt.Errorf("%s: Velero makes no credential of it: %w", file, err)
	}
	switch made.(type) {
	case *azidentity.ManagedIdentityCredential, *azidentity.WorkloadIdentityCredential:
		// Velero falls back to these without an error, whatever the file says about tenant and client.
		return fmt.Errorf("%s: Velero would log in with %T and not with this file: add %s or a certificate",
			file, made, azure.CredentialKeyClientSecret)
	}
	fmt.Fprintf(out, "credential %T\n", made)
	return nil
}

// withoutContent drops the text of a parser's error, which may quote the line that it cannot read.
func withoutContent(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path
	}
	return errors.New("Velero cannot read it as a dotenv file: write lines of the form NAME=value")
}
