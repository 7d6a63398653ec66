package judge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	esv1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	secretsstorev1 "sigs.k8s.io/secrets-store-csi-driver/apis/v1"
	"sigs.k8s.io/secrets-store-csi-driver/pkg/util/fileutil"
	"sigs.k8s.io/secrets-store-csi-driver/pkg/util/secretutil"
)

// mount runs `mount` on a class, with the authentication type of the store. It returns the directory of the files.
func mount(class object, login esv1.AzureAuthType, credentials *credentials, folder string) (string, error) {
	program, err := binary("KEYVAULT_CSI_PROVIDER")
	if err != nil {
		return "", err
	}
	manifest, target := filepath.Join(folder, "class.json"), filepath.Join(folder, "files")
	written, err := json.Marshal(class)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(manifest, written, 0o600); err != nil {
		return "", err
	}
	arguments := []string{"mount", manifest, "--target", target,
		"--imds-endpoint", credentials.metadataService}
	environment := append([]string{"AZURE_TENANT_ID=" + tenant}, credentials.environment...)
	switch login {
	case esv1.AzureWorkloadIdentity:
		arguments = append(arguments, "--token-file", credentials.tokenFile, "--default-tenant-id", tenant)
		environment = append(environment, "AZURE_CLIENT_ID="+accountClient)
	case esv1.AzureServicePrincipal:
		environment = append(environment, "AZURE_CLIENT_ID="+principalClient, "AZURE_CLIENT_SECRET="+principalSecret)
	}
	var output bytes.Buffer
	command := exec.Command(program, arguments...)
	command.Env, command.Stdout, command.Stderr = environment, &output, &output
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("mount of class %s: %w\n%s", class.name(), err, output.String())
	}
	return target, nil
}

// credentials are the credentials of a mount.
type credentials struct {
	environment     []string
	tokenFile       string
	metadataService string
}

// file is a mounted file.
type file struct {
	content string
	mode    os.FileMode
}

// files are the mounted files, by path.
func files(target string) (map[string]file, error) {
	listed, err := fileutil.GetMountedFiles(target)
	if err != nil {
		return nil, err
	}
	found := map[string]file{}
	for path, at := range listed {
		content, err := os.ReadFile(at)
		if err != nil {
			return nil, err
		}
		information, err := os.Stat(at)
		if err != nil {
			return nil, err
		}
		found[path] = file{string(content), information.Mode().Perm()}
	}
	return found, nil
}

// synced is the Secret that the driver's code creates from the files of a class.
func synced(class, secretObject object, target string) (*corev1.Secret, error) {
	text, err := json.Marshal(secretObject)
	if err != nil {
		return nil, err
	}
	var parsed secretsstorev1.SecretObject
	if err := json.Unmarshal(text, &parsed); err != nil {
		return nil, err
	}
	if err := secretutil.ValidateSecretObject(parsed); err != nil {
		return nil, fmt.Errorf("secretObjects of class %s: %w", class.name(), err)
	}
	listed, err := fileutil.GetMountedFiles(target)
	if err != nil {
		return nil, err
	}
	kind := secretutil.GetSecretType(strings.TrimSpace(parsed.Type))
	data, err := secretutil.GetSecretData(parsed.Data, kind, listed)
	if err != nil {
		return nil, fmt.Errorf("class %s: %w", class.name(), err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: strings.TrimSpace(parsed.SecretName), Namespace: class.namespace()},
		Type:       kind, Data: data,
	}, nil
}
