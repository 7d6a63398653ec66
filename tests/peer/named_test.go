package peer

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/secrets-store-csi-driver-provider-azure/pkg/provider/types"
)

// rules are all intended differences, in the order of docs/differences.md.
var rules = []*rule{
	// What this provider mounts, and the Go provider does not.
	{
		name:    "tenant-left-out",
		theirs:  regexp.MustCompile(`tenantId is not provided$`),
		of:      func(r *request) bool { return types.GetTenantID(r.parameters) == "" },
		example: all(node, parameter("tenantID", "")),
	},
	{
		name:    "node-identity-with-client-id",
		theirs:  regexp.MustCompile(`mode VMManagedIdentity: failed to parse workload identity tokens`),
		of:      func(r *request) bool { return r.parameters["clientID"] != "" },
		example: all(node, parameter("clientID", podClient), func(r *request) { r.withoutToken = true }),
	},
	{
		name:   "credentials-with-white-space",
		theirs: regexp.MustCompile(`ClientSecretCredential authentication failed`),
		of: func(r *request) bool {
			for value := range maps.Values(r.secrets) {
				if strings.TrimSpace(value) != value {
					return true
				}
			}
			return false
		},
		example: func(r *request) {
			delete(r.parameters, "clientID")
			r.secrets = map[string]string{"clientid": appClient, "clientsecret": appSecret + "\n"}
		},
	},
	{
		name:    "plain-list",
		theirs:  regexp.MustCompile(`cannot unmarshal !!seq into types\.StringArray`),
		example: parameter("objects", "- |\n  objectName: db-password\n  objectType: secret\n"),
	},
	{
		name:    "objects-as-mappings",
		theirs:  regexp.MustCompile(`failed to yaml unmarshal objects(.|\n)*cannot unmarshal !!map into string`),
		example: parameter("objects", "array:\n- objectName: db-password\n  objectType: secret\n"),
	},
	{
		name: "yaml-1.2",
		theirs: regexp.MustCompile(`error: yaml: (line \d+: )?(found a tab character (that violates indentation|where an indentation space is expected)|` +
			`found character that cannot start any token|found unknown directive name|found incompatible YAML document|` +
			`did not find expected node content)`),
		of:      is12,
		example: parameter("objects", "array:\n-\t|\n  objectName: db-password\n  objectType: secret\n"),
	},
	{
		name:    "yaml-tags",
		theirs:  regexp.MustCompile("yaml: cannot decode !!\\w+ `[^`]*` as a !"),
		example: objectsOf("objectName: !!int db-password", "objectType: secret"),
	},
	{
		name:    "number-in-quotes",
		theirs:  regexp.MustCompile("cannot unmarshal !!str `[^`]*` into int32"),
		example: objectsOf("objectName: rotated", "objectType: secret", `objectVersionHistory: "1"`),
	},
	{
		name:    "version-latest",
		theirs:  regexp.MustCompile(`objectVersion:latest: (.|\n)*RESPONSE 4`),
		of:      has(func(o types.KeyVaultObject) bool { return o.ObjectVersion == "latest" }),
		example: objectsOf("objectName: db-password", "objectType: secret", "objectVersion: latest"),
	},
	{
		name:    "two-dots-in-a-name",
		theirs:  regexp.MustCompile(`file name must not contain '\.\.'`),
		of:      has(func(o types.KeyVaultObject) bool { return strings.Contains(o.ObjectAlias, "..") }),
		example: objectsOf("objectName: db-password", "objectType: secret", "objectAlias: a..b"),
	},
	{
		name:   "encoding-utf-8-of-keys",
		theirs: regexp.MustCompile(`objectEncoding only supported for objectType: secret`),
		of: has(func(o types.KeyVaultObject) bool {
			return o.ObjectType != "secret" && strings.EqualFold(strings.TrimSpace(o.ObjectEncoding), "utf-8")
		}),
		example: objectsOf("objectName: p-256", "objectType: key", "objectEncoding: utf-8"),
	},
	{
		name:    "curve-p-256k",
		theirs:  regexp.MustCompile(`curve P-256K is not supported`),
		of:      has(func(o types.KeyVaultObject) bool { return o.ObjectType == "key" }),
		example: objectsOf("objectName: p-256k", "objectType: key"),
	},
	{
		name: "pkcs12-encryption",
		theirs: regexp.MustCompile(`pkcs12: (unknown digest algorithm|no MAC in data|only \S+ is implemented|expected exactly two items|` +
			`error decrypting PKCS#8 shrouded key bag: pkcs12: algorithm \S+ is not supported|algorithm \S+ is not supported|don't know how to convert a safe bag)`),
		example: objectsOf("objectName: pfx-ec-aes-256", "objectType: secret"),
	},
	{
		name:    "certificate-content-type",
		theirs:  regexp.MustCompile(`failed to get certificate\. unknown content type|^the process ended$`),
		of:      has(func(o types.KeyVaultObject) bool { return strings.HasPrefix(strings.ToLower(o.ObjectName), "backs-") }),
		example: objectsOf("objectName: backs-text", "objectType: secret"),
	},
	// What the Go provider mounts, and this one refuses.
	{
		name: "file-permission",
		ours: regexp.MustCompile(`^InvalidArgument: objects\[\d+\]\.filePermission: `),
		of: has(func(o types.KeyVaultObject) bool {
			mode, err := o.GetFilePermission(0)
			return err != nil || mode < 0 || mode > 0o777 || strings.HasPrefix(o.FilePermission, "-")
		}),
		example: objectsOf("objectName: db-password", "objectType: secret", "filePermission: rw"),
	},
	{
		name:    "history-without-its-version",
		ours:    regexp.MustCompile(`^InvalidArgument: objects\[\d+\]\.objectVersion: |^NotFound: `),
		of:      has(func(o types.KeyVaultObject) bool { return o.ObjectVersionHistory > 1 }),
		example: parameter("objects", "array:\n- |\n  objectName: rotated\n  objectType: secret\n  objectVersionHistory: 2\n  objectVersion: "+strings.Repeat("f", 32)+"\n- |\n  objectName: db-password\n  objectType: secret\n"),
	},
	{
		name:    "control-characters",
		ours:    regexp.MustCompile(`^InvalidArgument: objects\[\d+\]\.objectAlias: .* contains a control character`),
		example: objectsOf("objectName: db-password", "objectType: secret", `objectAlias: "a\tb"`),
	},
	{
		name:    "pkcs12-incomplete",
		of:      has(func(o types.KeyVaultObject) bool { return strings.HasPrefix(strings.ToLower(o.ObjectName), "pfx-no-") }),
		ours:    regexp.MustCompile(`^InvalidArgument: objects\[\d+\], secret \S+: .*it has no (private key|certificate)`),
		example: objectsOf("objectName: pfx-no-key", "objectType: secret"),
	},
	{
		name:    "unread-fields",
		ours:    regexp.MustCompile("^InvalidArgument: objects(\\[\\d+\\])?: line \\d+, column \\d+: (the key \".*\" appears twice|a key is not text|`<<` merges|the alias is inside of|the `!!binary` value)"),
		example: objectsOf("objectName: db-password", "objectType: secret", "labels: {a: b, a: c}"),
	},
	{
		name:    "byte-order-marks",
		ours:    regexp.MustCompile(`^InvalidArgument: objects(\[\d+\])?: line \d+, column \d+: invalid YAML: a byte order mark must not`),
		example: objectsOf("objectName: db-password", "objectType: secret", "x: \ufeffy"),
	},
	{
		name:    "limit-of-objects",
		ours:    regexp.MustCompile(`^InvalidArgument: objects: the list has \d+ objects`),
		example: parameter("objects", "array: ["+strings.TrimSuffix(strings.Repeat(`"{objectName: db-password, objectType: secret}",`, 1001), ",")+"]"),
	},
	{
		name:    "limit-of-text",
		ours:    regexp.MustCompile(`^InvalidArgument: objects: it is too large, \d+ bytes`),
		example: func(r *request) { r.parameters["objects"] += "# " + strings.Repeat("x", 128<<10) + "\n" },
	},
	{
		name:    "limit-of-yaml",
		ours:    regexp.MustCompile(`^InvalidArgument: objects(\[\d+\])?: line \d+, column \d+: (nested too deeply|the document is too large)`),
		example: objectsOf("objectName: db-password", "objectType: secret", "x: "+strings.Repeat("[", 40)+strings.Repeat("]", 40)),
	},
	// What both mount, but not the same.
	{
		name:    "history-of-n",
		without: withoutOneMore,
		example: objectsOf("objectName: rotated", "objectType: secret", "objectVersionHistory: 3"),
	},
	{
		name:    "history-from-a-disabled-version",
		theirs:  regexp.MustCompile(`^driver: the response has no object versions$`),
		of:      has(fromDisabled),
		without: withoutOlder,
		example: objectsOf("objectName: rotated", "objectType: secret", "objectVersionHistory: 2", "objectVersion: "+versionID(11)),
	},
	{
		name: "line-separators-in-text",
		of: func(r *request) bool {
			return strings.ContainsAny(r.objects(), "\u2028\u2029") || strings.Contains(r.objects(), `\u202`)
		},
		without: withoutSeparators,
		example: objectsOf("objectName: db-password", "objectType: secret", "objectAlias: \"a\u2028  b\""),
	},
}

// node makes it the node's identity that asks.
func node(r *request) {
	delete(r.parameters, "clientID")
	r.parameters["useVMManagedIdentity"] = "true"
}

// is12 is whether the text has what YAML 1.2 allows and Go's parser does not: a tab where it wants spaces, a directive, a
// plain text that starts with an indicator, or the end of a document before it.
func is12(r *request) bool {
	objects := r.objects()
	return strings.ContainsAny(objects, "\t%|>") || strings.Contains(objects, `\t`) || strings.HasPrefix(objects, "...")
}

// withoutOneMore takes away the version that the Go provider writes beyond the number that was asked for.
func withoutOneMore(r *request, theirs, ours answer) (found bool) {
	for _, object := range keyVaultObjects(r) {
		if object.IsSyncingSingleVersion() {
			continue
		}
		file := path.Join(object.GetFileName(), fmt.Sprint(object.ObjectVersionHistory))
		id := fmt.Sprintf("%s/%s/%d", object.ObjectType, object.ObjectName, object.ObjectVersionHistory)
		for _, path := range []string{file, file + ".crt", file + ".key"} {
			if _, both := ours.files[path]; !both {
				_, extra := theirs.files[path]
				found = found || extra
				delete(theirs.files, path)
			}
		}
		if _, both := ours.versions[id]; !both {
			delete(theirs.versions, id)
		}
	}
	return found
}

// fromDisabled is a history that starts at a version that is disabled.
func fromDisabled(o types.KeyVaultObject) bool {
	return o.ObjectVersionHistory > 1 && o.ObjectVersion == versionID(11) && strings.EqualFold(o.ObjectName, "rotated")
}

// withoutOlder takes away what this provider finds from a disabled version on.
func withoutOlder(r *request, theirs, ours answer) (found bool) {
	for _, object := range keyVaultObjects(r) {
		if !fromDisabled(object) {
			continue
		}
		for index := range object.ObjectVersionHistory {
			file := path.Join(object.GetFileName(), fmt.Sprint(index))
			if _, both := theirs.files[file]; !both {
				_, extra := ours.files[file]
				found = found || extra
				delete(ours.files, file)
			}
			id := fmt.Sprintf("%s/%s/%d", object.ObjectType, object.ObjectName, index)
			if _, both := theirs.versions[id]; !both {
				delete(ours.versions, id)
			}
		}
	}
	return found
}

// withoutSeparators makes spaces of U+2028 and U+2029 in the names of files.
func withoutSeparators(_ *request, theirs, ours answer) (found bool) {
	separators := regexp.MustCompile(`[\x{2028}\x{2029}]+`)
	for _, path := range slices.Sorted(maps.Keys(theirs.files)) {
		spaced := separators.ReplaceAllString(path, " ")
		if _, both := ours.files[path]; !both && spaced != path {
			theirs.files[spaced], found = theirs.files[path], true
			delete(theirs.files, path)
		}
	}
	return found
}
