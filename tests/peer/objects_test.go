package peer

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// field is a line of an object as it is meant: the value is text, not yet YAML.
type field struct {
	name, value string
	// plain is a value that means something else in quotes.
	plain bool
}

// chosen is the object that the vault is asked for: mostly one that it holds.
func (g *generator) chosen() object {
	kind := one(g, "secret", "secret", "secret", "secret", "cert", "key")
	usual, rare := []object{}, []object{}
	for _, object := range g.catalogue[kind] {
		if object.rare {
			rare = append(rare, object)
		} else {
			usual = append(usual, object)
		}
	}
	if len(rare) > 0 && g.IntN(30) == 0 {
		return one(g, rare...)
	}
	return one(g, usual...)
}

// fields are what a person writes of an object.
func (g *generator) fields() []field {
	chosen := g.chosen()
	kind := weighted(g, chosen.kind, "secret", "key", "cert", "Secret", "certificate", "", "secrets")
	fields := []field{
		{"objectName", g.cased(chosen.name), false},
		{"objectType", kind, false},
	}
	if g.odd() && chosen.name == "says-text" {
		// Ends the Go provider.
		fields[0].value = "backs-nothing"
	}
	if g.IntN(3) == 0 {
		fields = append(fields, field{"objectAlias", g.alias(), false})
	}
	if g.IntN(4) == 0 {
		version := one(g, "", "", one(g, chosen.versions...))
		fields = append(fields, field{"objectVersion", weighted(g, version, "latest", "LATEST", strings.ToUpper(one(g, chosen.versions...)), versionID(11), strings.Repeat("f", 32), "1", "null", "a b"), false})
	}
	if len(chosen.versions) > 1 && g.IntN(2) == 0 || g.IntN(12) == 0 || g.odd() {
		fields = append(fields, field{"objectVersionHistory", g.history(), true})
	}
	if g.IntN(4) == 0 || g.odd() {
		usual := ""
		if strings.Contains(chosen.name, "p") && kind == "secret" {
			usual = one(g, "PFX", "pfx", "PEM", "")
		}
		fields = append(fields, field{"objectFormat", weighted(g, usual, "pem", "PEM", "pfx", "PFX", "Pfx", "pFX", "der", "PKCS12"), false})
	}
	usual := ""
	switch {
	case strings.HasPrefix(chosen.name, "b64") && (decodes(base64.StdEncoding.DecodeString, chosen.name) || g.odd()):
		usual = "base64"
	case strings.HasPrefix(chosen.name, "hex") && (decodes(hex.DecodeString, chosen.name) || g.odd()):
		usual = "hex"
	}
	if usual != "" && g.IntN(3) > 0 || g.odd() {
		fields = append(fields, field{"objectEncoding", g.cased(weighted(g, usual, "utf-8", "base64", "hex", "utf8", "ascii", "none")), false})
	}
	if g.IntN(4) == 0 {
		fields = append(fields, field{"filePermission", g.permission(), false})
	}
	if g.vary() {
		name := one(g, "objectname", "alias", "permission", "objectVersionhistory", "ObjectAlias", "x")
		fields = append(fields, field{name, one(g, "x", "", "0644"), false})
	}
	if g.odd() && g.odd() {
		fields = append(fields, one(g, fields...))
	}
	if g.odd() {
		at := g.IntN(len(fields))
		fields = append(fields[:at], fields[at+1:]...)
	}
	g.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return fields
}

// decodes is whether the text of a secret is what the encoding says.
func decodes(decode func(string) ([]byte, error), name string) bool {
	_, err := decode(texts[name])
	return err == nil
}

func (g *generator) alias() string {
	usual := one(g, "file", "db-pass", "tls.crt", "certs/site.pem", "a/b/c", ".hidden", "with space", "Ключ", "x_y", "0", "")
	return g.cased(weighted(g, usual, "./file", "file/", "a//b", "a/./b", "../up", "a/../b", "..", ".", "/etc/passwd", "a..b", "a/..b",
		"..data", "...", strings.Repeat("n", 255), strings.Repeat("n", 256), "a\\b", "a:b", "null", "~", "true", "tab\there", "#hash", "'quoted'",
		"file.crt", "db-password", "x/", "./certs/", "certs//", "a\x7fb"))
}

func (g *generator) permission() string {
	usual := one(g, "0644", "0600", "0400", "0755", "644", "0", "0777", "")
	return weighted(g, usual, "1777", "0888", "rw", "-1", "+644", "0o644", "0x1ff", "420", "00644", "0_644", "99999999999", "777777777777", "null", "0644 ")
}

func (g *generator) history() string {
	usual := one(g, "0", "1", "2", "3", "5", "20", "")
	return weighted(g, usual, "-1", "100", "101", "1000", "010", "0o10", "0x3", "0b11", "+3", "1_0", "-0x2", "2.0", "2.9", "2e0", "1e1", ".5", "1e3",
		"2147483647", "2147483648", "-2147483648", "-2147483649", "99999999999", "null", "~", "two", "08", "0_7", "0b2", "1__0", "_1", "-0b11", "-0o3",
		"true", "3 # three", "2001-01-01", ".inf", ".nan", "- 3", "0xg", "1.", "+.5e1", "0o", "0O7", "0B1", "0X2", "1e400", "18446744073709551615", "\"3\"", "'3'", "!!int \"3\"", "!!int 3", "!!str 3", "!!float 3", "[3]", "|\n      3")
}
