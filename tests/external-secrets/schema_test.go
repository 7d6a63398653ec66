package judge

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"sigs.k8s.io/yaml"
)

const operatorModule = "github.com/external-secrets/external-secrets"

// operatorSchemas are the schemas of the operator's CRDs, by "kind/version".
var operatorSchemas = sync.OnceValues(readSchemas)

// admit applies the operator's CRDs to an object, as the API server does: it drops unknown fields, sets defaults, and
// rejects objects that violate the schema.
func admit(object map[string]any) error {
	schemas, err := operatorSchemas()
	if err != nil {
		return err
	}
	kind, _ := object["kind"].(string)
	apiVersion, _ := object["apiVersion"].(string)
	_, version, _ := strings.Cut(apiVersion, "/")
	properties, ok := schemas[kind+"/"+version]
	if !ok {
		return fmt.Errorf("the operator's CRDs have no %s of version %s", kind, apiVersion)
	}
	structural, err := schema.NewStructural(properties)
	if err != nil {
		return err
	}
	pruning.Prune(object, structural, true)
	defaulting.Default(object, structural)
	validator, _, err := validation.NewSchemaValidator(properties)
	if err != nil {
		return err
	}
	return validation.ValidateCustomResource(nil, object, validator).ToAggregate()
}

func readSchemas() (map[string]*apiextensions.JSONSchemaProps, error) {
	listed, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", operatorModule).Output()
	if err != nil {
		return nil, fmt.Errorf("directory of module %s: %w", operatorModule, err)
	}
	folder := filepath.Join(strings.TrimSpace(string(listed)), "config/crds/bases")
	schemas := map[string]*apiextensions.JSONSchemaProps{}
	for _, name := range []string{"externalsecrets", "secretstores", "clustersecretstores"} {
		text, err := os.ReadFile(filepath.Join(folder, "external-secrets.io_"+name+".yaml"))
		if err != nil {
			return nil, err
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(text, &crd); err != nil {
			return nil, err
		}
		for _, version := range crd.Spec.Versions {
			properties := &apiextensions.JSONSchemaProps{}
			written := version.Schema.OpenAPIV3Schema
			if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(written, properties, nil); err != nil {
				return nil, err
			}
			schemas[crd.Spec.Names.Kind+"/"+version.Name] = properties
		}
	}
	return schemas, nil
}
