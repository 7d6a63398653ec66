package peer

import (
	"encoding/base64"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	tenant    = "00000000-0000-4000-8000-000000000001"
	stranger  = "00000000-0000-4000-8000-00000000000f"
	vault     = "peer-vault"
	podClient = "11111111-1111-4111-8111-111111111111"
	appClient = "55555555-5555-4555-8555-555555555555"
	nodeUser  = "77777777-7777-4777-8777-777777777777"
	appSecret = "x~4=not-a-real-secret"
)

// object is one that the vault holds, with its enabled versions, newest first.
type object struct {
	kind, name string
	versions   []string
	// rare is an object that few vaults hold, or that the Go provider cannot write.
	rare bool
}

// Texts of plain secrets, by name. Each may be asked for in every encoding.
var texts = map[string]string{
	"db-password":     "hunter2",
	"empty-line":      "\n",
	"two-lines":       "one\ntwo\n",
	"unicode":         "pässwörd – ключ",
	"json":            `{"user": "app", "port": 5432}`,
	"007":             "bond",
	"no":              "a name like a boolean",
	"null":            "a name like nothing",
	"1e3":             "a name like a number",
	"MixedCase":       "case",
	"b64":             "aGVsbG8=",
	"b64-lines":       "aGVs\r\nbG8=\n",
	"b64-binary":      "AP8QIP5/",
	"b64-bits":        "aGVsbG9=",
	"b64-bits-two":    "aGk/aGl=",
	"b64-no-padding":  "aGVsbG8",
	"b64-url":         "_-__",
	"b64-spaces":      "aGVs bG8=",
	"b64-padding-mid": "aGk=aGk=",
	"b64-after":       "aGk=x",
	"b64-empty-lines": "\n\n",
	"hex":             "00ff1020fe7f",
	"hex-mixed":       "00fF1020FE7f",
	"hex-odd":         "0ff",
	"hex-line":        "00ff\n",
	"hex-prefix":      "0x00ff",
	"large":           strings.Repeat("a line of some length\n", 1100),
}

// seed is everything that the generator asks for, in the form of the emulator's seed.
func seed(t *testing.T) any {
	t.Helper()
	all := []string{"get", "list"}
	access := []any{}
	identities := []any{
		map[string]any{"name": "pod", "clientId": podClient, "federatedCredentials": []any{
			map[string]any{"subject": "system:serviceaccount:" + namespace + ":" + account}}},
		map[string]any{"name": "app", "clientId": appClient, "clientSecrets": []string{appSecret}},
		map[string]any{"name": "node", "clientId": "66666666-6666-4666-8666-666666666666", "managedIdentity": "system"},
		map[string]any{"name": "user", "clientId": nodeUser, "managedIdentity": "user"},
	}
	for _, identity := range []string{"pod", "app", "node", "user"} {
		access = append(access, map[string]any{"identity": identity, "secrets": all, "keys": all, "certificates": all})
	}
	return map[string]any{
		"tenant":     tenant,
		"identities": identities,
		"vaults": []any{
			map[string]any{"name": vault, "access": access,
				"secrets": secrets(t), "keys": keys(t), "certificates": certificates(t)},
			map[string]any{"name": "other-vault", "access": access, "secrets": []any{
				map[string]any{"name": "db-password", "value": "of the other vault"}}},
			map[string]any{"name": "closed-vault", "secrets": []any{
				map[string]any{"name": "db-password", "value": "of the closed vault"}}},
		},
	}
}

func secrets(t *testing.T) []any {
	t.Helper()
	all := []any{}
	for name, text := range texts {
		all = append(all, map[string]any{"name": name, "versions": []any{version(1, "value", text)}})
	}
	rotated := []any{}
	for number := range 12 {
		one := version(number+1, "value", fmt.Sprintf("v%d", number))
		one["enabled"] = number != 10
		rotated = append(rotated, one)
	}
	pem := string(fixture(t, "pfx/bundle-pkcs8.pem"))
	key, _, _ := strings.Cut(pem, "-----BEGIN CERTIFICATE-----")
	backing := func(name, contentType, value string) any {
		all := map[string]any{"name": name, "certificate": true, "versions": []any{version(1, "value", value)}}
		if contentType != "" {
			all["contentType"] = contentType
		}
		return all
	}
	return append(all,
		map[string]any{"name": "rotated", "versions": rotated},
		map[string]any{"name": "disabled", "enabled": false, "versions": []any{version(1, "value", "off")}},
		map[string]any{"name": "says-pkcs12", "contentType": "application/x-pkcs12", "versions": []any{
			version(1, "value", base64.StdEncoding.EncodeToString(fixture(t, "pfx/ec-aes-256.pfx")))}},
		map[string]any{"name": "says-text", "contentType": "text/plain", "versions": []any{version(1, "value", "text")}},
		backing("pem-key-alone", "application/x-pem-file", key),
		backing("pem-no-blocks", "application/x-pem-file", "no PEM at all"),
		backing("pem-broken", "application/x-pem-file", pem+"-----BEGIN CERTIFICATE-----\nYQ==\n"),
		backing("pem-crlf", "application/x-pem-file", strings.ReplaceAll(pem, "\n", "\r\n")),
		backing("pem-headers", "application/x-pem-file", string(fixture(t, "pfx/bundle-bag-attributes.pem"))),
		backing("pem-no-last-line-end", "application/x-pem-file", strings.TrimSuffix(pem, "\n")),
		backing("pem-glued", "application/x-pem-file", strings.ReplaceAll(pem, "-----\n-----", "----------")),
		backing("pem-long-lines", "application/x-pem-file", longLines(pem)),
		backing("pem-parameters", "application/x-pem-file", "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"+pem),
		backing("pfx-no-base64", "application/x-pkcs12", "no base64"),
		backing("backs-text", "text/plain", pem),
		backing("backs-nothing", "", pem),
	)
}

// longLines is the PEM text with the base64 of each block on one line.
func longLines(pem string) string {
	var text strings.Builder
	for line := range strings.Lines(pem) {
		if strings.HasPrefix(line, "-----") {
			if text.Len() > 0 && !strings.HasSuffix(text.String(), "\n") {
				text.WriteString("\n")
			}
			text.WriteString(line)
		} else {
			text.WriteString(strings.TrimSpace(line))
		}
	}
	return text.String()
}

func keys(t *testing.T) []any {
	t.Helper()
	of := func(name, kty, file string) any {
		return map[string]any{"name": name, "kty": kty, "versions": []any{
			version(1, "publicKey", string(fixture(t, "keys/"+file)))}}
	}
	history := []any{}
	for number, file := range []string{"p-256.pem", "p-384.pem", "p-521.pem"} {
		history = append(history, version(number+1, "publicKey", string(fixture(t, "keys/"+file))))
	}
	return []any{
		of("rsa-2048", "RSA", "rsa-2048.pem"), of("rsa-3072", "RSA", "rsa-3072.pem"), of("rsa-4096", "RSA-HSM", "rsa-4096.pem"),
		of("p-256", "EC", "p-256.pem"), of("p-384", "EC-HSM", "p-384.pem"), of("p-521", "EC", "p-521.pem"),
		of("p-256k", "EC", "p-256k.pem"),
		map[string]any{"name": "rotated-key", "kty": "EC", "versions": history},
	}
}

// pfxFiles are the PKCS#12 files of tests/data, by name without the ending.
func pfxFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "data", "pfx", "*.pfx"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no PKCS#12 files in tests/data: %v", err)
	}
	names := []string{}
	for _, file := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".pfx"))
	}
	return names
}

func certificates(t *testing.T) []any {
	t.Helper()
	leaf := string(fixture(t, "chain/rsa-leaf.pem"))
	all := []any{}
	for _, name := range pfxFiles(t) {
		one := version(1, "pfx", base64.StdEncoding.EncodeToString(fixture(t, "pfx/"+name+".pfx")))
		one["cer"] = leaf
		all = append(all, map[string]any{"name": "pfx-" + name, "versions": []any{one}})
	}
	for _, name := range []string{"bundle-pkcs8", "bundle-pkcs1"} {
		all = append(all, map[string]any{"name": name, "versions": []any{
			version(1, "pem", string(fixture(t, "pfx/"+name+".pem")))}})
	}
	renewed := []any{version(1, "pem", string(fixture(t, "pfx/bundle-pkcs8.pem")))}
	for number, name := range []string{"rsa-aes-256", "ec-3des", "rsa-shuffled"} {
		one := version(number+2, "pfx", base64.StdEncoding.EncodeToString(fixture(t, "pfx/"+name+".pfx")))
		one["cer"] = leaf
		renewed = append(renewed, one)
	}
	for number, name := range []string{"pfx-no-certificate", "pfx-no-key"} {
		one := version(1, "pfx", base64.StdEncoding.EncodeToString(without(t, number, fixture(t, "pfx/rsa-3des.pfx"))))
		one["cer"] = leaf
		all = append(all, map[string]any{"name": name, "versions": []any{one}})
	}
	return append(all,
		map[string]any{"name": "pem-no-key", "versions": []any{version(1, "pem", leaf+string(fixture(t, "chain/rsa-root.pem")))}},
		map[string]any{"name": "rotated-pem", "versions": []any{
			version(1, "pem", string(fixture(t, "pfx/bundle-pkcs1.pem"))), version(2, "pem", string(fixture(t, "pfx/bundle-pkcs8.pem")))}},
		map[string]any{"name": "rotated-pfx", "versions": renewed[1:]},
	)
}

// version is one of an object, made in the year of its number.
func version(number int, field string, value any) map[string]any {
	return map[string]any{"version": versionID(number), field: value, "created": fmt.Sprintf("%d-01-01T00:00:00Z", 2000+number)}
}

func versionID(number int) string {
	return strings.Repeat(fmt.Sprintf("%02x", number), 16)
}

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	return read(t, filepath.Join("..", "data", name))
}

// rare is the names of objects that the generator asks for now and then: most of them are in no vault or cannot be
// written, and a request has one answer for all of its objects.
var rare = map[string]bool{
	"disabled": true, "missing": true, "says-pkcs12": true, "pem-no-blocks": true, "pem-broken": true, "pfx-no-base64": true,
	"backs-text": true, "p-256k": true, "large": true,
}

// readable is the PKCS#12 files of tests/data that Go's golang.org/x/crypto/pkcs12 opens.
var readable = map[string]bool{
	"ec-3des": true, "ec-rc2-40": true, "rsa-3des": true, "rsa-rc2-40": true, "rsa-windows": true,
}

// catalogue is what the generator chooses from, by type. Names in capitals are asked for as well.
func catalogue(t *testing.T) map[string][]object {
	t.Helper()
	one := []string{versionID(1)}
	secrets, keys, certificates := []object{}, []object{}, []object{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		secrets = append(secrets, object{"secret", name, one, rare[name]})
	}
	rotated := []string{}
	for number := 12; number > 0; number-- {
		if number != 11 {
			rotated = append(rotated, versionID(number))
		}
	}
	secrets = append(secrets, object{"secret", "rotated", rotated, false})
	for _, name := range []string{
		"disabled", "missing", "says-pkcs12", "says-text", "pem-key-alone", "pem-no-blocks", "pem-broken", "pem-crlf",
		"pem-headers", "pem-no-last-line-end", "pem-glued", "pem-long-lines", "pem-parameters", "pfx-no-base64", "backs-text",
	} {
		secrets = append(secrets, object{"secret", name, one, rare[name]})
	}
	for _, name := range []string{"rsa-2048", "rsa-3072", "rsa-4096", "p-256", "p-384", "p-521", "p-256k", "missing"} {
		keys = append(keys, object{"key", name, one, rare[name]})
	}
	keys = append(keys, object{"key", "rotated-key", []string{versionID(3), versionID(2), versionID(1)}, false})
	backed := []object{{"", "bundle-pkcs8", one, false}, {"", "bundle-pkcs1", one, false},
		{"", "pem-no-key", one, false}, {"", "rotated-pem", []string{versionID(2), versionID(1)}, false},
		{"", "rotated-pfx", []string{versionID(4), versionID(3), versionID(2)}, true}}
	backed = append(backed, object{"", "pfx-no-certificate", one, true}, object{"", "pfx-no-key", one, true})
	for _, name := range pfxFiles(t) {
		backed = append(backed, object{"", "pfx-" + name, one, !readable[name]})
	}
	for _, from := range backed {
		secrets = append(secrets, object{"secret", from.name, from.versions, from.rare})
		certificates = append(certificates, object{"cert", from.name, from.versions, false})
	}
	return map[string][]object{"secret": secrets, "key": keys, "cert": certificates}
}
