package judge

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// need describes an object of a vault that the inputs require.
type need struct {
	// kind is secret, key or cert.
	kind string
	// versions that an input names.
	versions []string
	// base64 is set for a secret that is decoded.
	base64 bool
	// pkcs12 is set for a certificate's secret that a template splits, or whose key ends in .pfx or .p12.
	pkcs12 bool
	// certificate is the key of the Secret for which a secret holds a part of the certificate as PEM.
	certificate string
	// fields of a JSON value, as paths.
	fields []string
}

const (
	// Names of objects with this content in every input.
	backedByPEM    = "backed-by-pem"
	backedByPKCS12 = "backed-by-pkcs12"
	absent         = "absent"
)

// needs are the needs of all cases, by vault and name in lower case: "shop-vault/site".
type needs map[string]*need

var (
	decodes = regexp.MustCompile(`b64dec`)
	selects = regexp.MustCompile(`\(\.(\w+) \| fromJson\)\.(\w+)`)
	opens   = regexp.MustCompile(`pkcs12`)
	bundle  = regexp.MustCompile(`(?i)\.(pfx|p12)$`)
)

// collect adds the objects that the ExternalSecrets of a case name.
func (n needs) collect(c *testCase) {
	for _, es := range c.externalSecrets() {
		templates := es.at("spec", "target", "template", "data")
		for _, element := range es.list("spec", "data") {
			reference := element.at("remoteRef")
			secretKey := text(element, "secretKey")
			needed := n.named(c, es, element, text(reference, "key"))
			if needed == nil {
				continue
			}
			needed.base64 = needed.base64 || strings.HasPrefix(text(reference, "decodingStrategy"), "Base64")
			needed.pkcs12 = needed.pkcs12 || bundle.MatchString(secretKey)
			if text(es.at("spec", "target", "template"), "type") == string(corev1.SecretTypeTLS) && len(templates) == 0 {
				needed.certificate = secretKey
			}
			if version := text(reference, "version"); version != "" {
				needed.versions = append(needed.versions, version)
			}
			if property := text(reference, "property"); property != "" && text(reference, "metadataPolicy") != "Fetch" {
				needed.fields = append(needed.fields, property)
			}
			for _, template := range templates {
				template, _ := template.(string)
				if !mentions(template, secretKey) {
					continue
				}
				for _, field := range selects.FindAllStringSubmatch(template, -1) {
					if field[1] == secretKey {
						needed.fields = append(needed.fields, field[2])
					}
				}
				needed.base64 = needed.base64 || decodes.MatchString(template)
				needed.pkcs12 = needed.pkcs12 || opens.MatchString(template)
			}
		}
		for _, element := range es.list("spec", "dataFrom") {
			if key := text(element.at("extract"), "key"); key != "" {
				if needed := n.named(c, es, element, key); needed != nil {
					needed.fields = append(needed.fields, "user", "nested.value")
					if property := text(element.at("extract"), "property"); property != "" {
						needed.fields = append(needed.fields, property+".value")
					}
				}
			}
		}
	}
}

// mentions reports whether a template uses this key of the data.
func mentions(template, key string) bool {
	return regexp.MustCompile(`(\.|")` + regexp.QuoteMeta(key) + `\b`).MatchString(template)
}

// named is the need for an object, or nil if no vault of Azure can contain it.
func (n needs) named(c *testCase, es, element object, key string) *need {
	kind, name := "secret", key
	if before, after, found := strings.Cut(key, "/"); found {
		kind, name = before, strings.Split(after, "/")[0]
	}
	if !slices.Contains([]string{"secret", "key", "cert"}, kind) || !regexp.MustCompile(`^[0-9A-Za-z-]+$`).MatchString(name) {
		return nil
	}
	vault := vaultOf(c, es, element)
	// In a manifest that was not rendered, the name is a template.
	if !regexp.MustCompile(`^[-0-9A-Za-z]{3,24}$`).MatchString(vault) || name == absent {
		return nil
	}
	place := strings.ToLower(vault + "/" + name)
	if n[place] == nil {
		n[place] = &need{kind: kind}
	}
	if kind != "secret" {
		n[place].kind = kind
	}
	switch name {
	case backedByPEM:
		n[place].kind, n[place].certificate = "cert", corev1.TLSCertKey
	case backedByPKCS12:
		n[place].kind = "cert"
	}
	return n[place]
}

// vaultOf is the name of the vault that an element is read from.
func vaultOf(c *testCase, es, element object) string {
	reference := element.at("sourceRef", "storeRef")
	if len(reference) == 0 {
		reference = es.at("spec", "secretStoreRef")
	}
	kind := text(reference, "kind")
	if kind == "" {
		kind = "SecretStore"
	}
	store, ok := c.find(kind, es.namespace(), text(reference, "name"))
	if !ok {
		return ""
	}
	_, host, _ := strings.Cut(text(store.at("spec", "provider", "azurekv"), "vaultUrl"), "://")
	vault, _, _ := strings.Cut(host, ".")
	return vault
}

func text(o object, key string) string {
	text, _ := o[key].(string)
	return text
}

// value is the value of a secret of this need, which contains a unique text.
func (n *need) value(plain string) string {
	switch {
	case len(n.fields) > 0:
		return fields(n.fields, plain)
	case n.base64:
		return base64.StdEncoding.EncodeToString([]byte(plain))
	default:
		return plain
	}
}

// fields is a JSON object with a text at each of these paths.
func fields(paths []string, plain string) string {
	root := map[string]any{}
	for _, path := range paths {
		keys := strings.Split(path, ".")
		at := root
		for _, key := range keys[:len(keys)-1] {
			next, ok := at[key].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[key] = next
			}
			at = next
		}
		at[keys[len(keys)-1]] = fmt.Sprintf("%s of %s", path, plain)
	}
	return marshal(root)
}
