package judge

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	esv1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

const operatorGroup = "external-secrets.io/"

// object is a manifest, as written.
type object map[string]any

func (o object) kind() string       { text, _ := o["kind"].(string); return text }
func (o object) apiVersion() string { text, _ := o["apiVersion"].(string); return text }
func (o object) metadata() object   { return o.at("metadata") }
func (o object) name() string       { text, _ := o.metadata()["name"].(string); return text }

// namespace is the namespace of the object, or the default of kubectl.
func (o object) namespace() string {
	if text, _ := o.metadata()["namespace"].(string); text != "" {
		return text
	}
	return "default"
}

func (o object) at(path ...string) object {
	for _, key := range path {
		next, _ := o[key].(map[string]any)
		o = next
	}
	return o
}

func (o object) list(path ...string) []object {
	parent := o.at(path[:len(path)-1]...)
	items, _ := parent[path[len(path)-1]].([]any)
	var objects []object
	for _, item := range items {
		if item, ok := item.(map[string]any); ok {
			objects = append(objects, item)
		}
	}
	return objects
}

func (o object) isOperators() bool { return strings.HasPrefix(o.apiVersion(), operatorGroup) }

// id is the name of the object in the notes of convert.
func (o object) id() string {
	if namespace, _ := o.metadata()["namespace"].(string); namespace != "" {
		return o.kind() + " " + namespace + "/" + o.name()
	}
	return o.kind() + " " + o.name()
}

// parse parses the objects of a YAML stream or a JSON file, including the items of lists.
func parse(text string) ([]object, error) {
	var objects []object
	reader := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		asJSON, err := sigsyaml.YAMLToJSON(document)
		if err != nil {
			return nil, err
		}
		var read map[string]any
		// Numbers get the types of the API server's decoder.
		if err := json.Unmarshal(asJSON, &read); err != nil {
			return nil, err
		}
		switch found := object(read); {
		case len(found) == 0:
		case found.kind() == "List":
			objects = append(objects, found.list("items")...)
		default:
			objects = append(objects, found)
		}
	}
}

// testCase is a folder of inputs for convert.
type testCase struct {
	name string
	file string
	// text is the input, and objects are its objects, with endpoints that the emulator serves.
	text    string
	objects []object
}

// notJudged are the cases of tests/data/convert for which the operator v0.20.4 creates no Secret, with the reason.
var notJudged = map[string]string{
	"certificates":    "its templates reject values that are not certificates, and all objects have the same value in a run",
	"field-values":    "it has fields of newer versions, and invalid values",
	"functions":       "it has templates for engine v1",
	"old-stores":      "it has a store of version v1alpha1",
	"pem-certificate": "its templates reject values that are not certificates",
}

// readCases reads every subdirectory with an input file, except those in notJudged.
func readCases(folder string) ([]*testCase, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*", "input*"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no directory with an input file", folder)
	}
	slices.Sort(files)
	var cases []*testCase
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name := filepath.Base(filepath.Dir(file))
		if notJudged[name] != "" && filepath.Base(folder) == "convert" {
			continue
		}
		// Some inputs set another tenant.
		text = bytes.ReplaceAll(text, []byte("00000000-0000-4000-8000-0000000000aa"), []byte(tenant))
		read := &testCase{name: name, file: filepath.Base(file), text: string(text)}
		if read.objects, err = parse(reachable(read.text)); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		cases = append(cases, read)
	}
	return cases, nil
}

// reachable replaces hosts of private endpoints, which the emulator does not serve, with the hosts of the vaults.
func reachable(text string) string {
	return strings.ReplaceAll(text, ".privatelink.example", ".vault.azure.net")
}

func (c *testCase) externalSecrets() []object {
	return slices.DeleteFunc(slices.Clone(c.objects), func(o object) bool {
		return o.kind() != "ExternalSecret" || !o.isOperators()
	})
}

// find is the object of this kind and name; the namespace of cluster-wide kinds does not matter.
func (c *testCase) find(kind, namespace, name string) (object, bool) {
	// If two manifests are for one object, the last one replaces the other when they are applied.
	for _, o := range slices.Backward(c.objects) {
		if o.kind() == kind && o.name() == name && (strings.HasPrefix(kind, "Cluster") || o.namespace() == namespace) {
			return o, true
		}
	}
	return nil, false
}

// externalSecret is the object as the operator reads it from the API server.
func externalSecret(written object) (*esv1.ExternalSecret, error) {
	read := &esv1.ExternalSecret{}
	if err := admitInto(written, read); err != nil {
		return nil, err
	}
	read.Namespace = written.namespace()
	return read, nil
}

// store is the store that an ExternalSecret of the namespace refers to, as the operator reads it.
func (c *testCase) store(reference esv1.SecretStoreRef, namespace string) (esv1.GenericStore, error) {
	kind := reference.Kind
	if kind == "" {
		kind = esv1.SecretStoreKind
	}
	written, ok := c.find(kind, namespace, reference.Name)
	if !ok {
		return nil, fmt.Errorf("%s %s is not in the input", kind, reference.Name)
	}
	if kind == esv1.ClusterSecretStoreKind {
		read := &esv1.ClusterSecretStore{}
		return read, admitInto(written, read)
	}
	read := &esv1.SecretStore{}
	if err := admitInto(written, read); err != nil {
		return nil, err
	}
	read.Namespace = namespace
	return read, nil
}

// admitInto converts a copy of the object after the admission of the API server.
func admitInto(written object, into any) error {
	admitted := runtime.DeepCopyJSON(written)
	if err := admit(admitted); err != nil {
		return fmt.Errorf("%s: %w", written.id(), err)
	}
	// The versions differ only in their name.
	admitted["apiVersion"] = esv1.SchemeGroupVersion.String()
	return runtime.DefaultUnstructuredConverter.FromUnstructured(admitted, into)
}

// configMapsAndSecrets are the ConfigMaps and Secrets of the input, for templates and logins.
func (c *testCase) configMapsAndSecrets() ([]*corev1.ConfigMap, []*corev1.Secret, error) {
	var maps []*corev1.ConfigMap
	var secrets []*corev1.Secret
	for _, o := range c.objects {
		switch o.kind() {
		case "ConfigMap":
			read := &corev1.ConfigMap{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o, read); err != nil {
				return nil, nil, err
			}
			read.Namespace = o.namespace()
			maps = append(maps, read)
		case "Secret":
			read := &corev1.Secret{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o, read); err != nil {
				return nil, nil, err
			}
			read.Namespace = o.namespace()
			for key, value := range read.StringData {
				if read.Data == nil {
					read.Data = map[string][]byte{}
				}
				read.Data[key] = []byte(value)
			}
			secrets = append(secrets, read)
		}
	}
	return maps, secrets, nil
}
