package peer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// mapping is an object's fields as the YAML text that is an item of the array.
func (g *generator) mapping() string {
	fields := g.fields()
	switch {
	case g.IntN(15) == 0:
		return g.flowMapping(fields)
	case g.IntN(30) == 0:
		return jsonMapping(fields)
	}
	var text strings.Builder
	for _, field := range fields {
		text.WriteString(g.line(field) + "\n")
		if g.odd() {
			text.WriteString(one(g, "\n", "# comment\n", "  # comment\n", "\t\n", "\t# comment\n", "x:\n  - y\n", "x: &x y\n", "? complex\n: y\n", "x: |\n  text\n", "  \n"))
		}
	}
	if g.odd() {
		return g.merged(text.String(), fields)
	}
	return text.String()
}

// line is a field on a line of its own.
func (g *generator) line(field field) string {
	key := weighted(g, field.name, `"`+field.name+`"`, "'"+field.name+"'", "? "+field.name+"\n", "!!str "+field.name, "&k "+field.name, "!!binary "+g.binary(field.name), " "+field.name)
	colon := weighted(g, ": ", ":", ":\t", ":  ", ":\t\t", ": \t", ":\t ", " : ", "\t: ", ":\n  ", ":\n\t", ": # c\n  ", ":\t# c\n  ")
	return key + colon + g.value(field) + weighted(g, "", " ", "\t", " # comment", "\t# comment", "#comment", " #")
}

// value is a field's value as YAML.
func (g *generator) value(field field) string {
	value := field.value
	plain := value
	if needsQuotes(value) && !field.plain && !g.odd() {
		return doubleQuoted(value)
	}
	if value == "" {
		plain = one(g, "", `""`, "''", weighted(g, "", "~", "null", "!!str", "!!null ''", "&empty", "|", "\" \"", "!"))
	}
	return weighted(g, plain, doubleQuoted(value), "'"+strings.ReplaceAll(value, "'", "''")+"'", "!!str "+value, "!!str \""+value+"\"", "&anchor "+value,
		"!!binary "+g.binary(value), "!!binary \""+g.binary(value)+"\"", "!peer "+value, "! "+value, "! '"+value+"'", "!!int "+value, "!!null "+value, "!!float "+value, "!!bool "+value, "!!timestamp "+value, "|\n  "+value, "|-\n  "+value,
		">-\n  "+value, "\n  "+value, "{"+value+"}", "["+value+"]", value+" ", " "+value, "\""+value+"\\n\"", "\"\\x20"+value+"\\t\"", "\""+value+"\\u00a0\"", "<<", "*anchor", "!!binary %%%", "\"a\nb\"", "a\n  b", "a\n\n  b",
		"'"+value+"\n  '", "\"\\\n  "+value+"\"", "@"+value, "`"+value, "%"+value, "&"+value, "*"+value, "!"+value, "-"+value, "- "+value, "?"+value, ":"+value, value+":", value+": x", value+" #x", value+"#x", ","+value, value+", x", "["+value, value+"]", "|"+value, "<"+value, "\x01"+value, value+"\u2028x", "\ufeff"+value, "\U0001f600")
}

func (g *generator) binary(text string) string {
	encoded := base64.StdEncoding.EncodeToString([]byte(text))
	return weighted(g, encoded, strings.TrimRight(encoded, "="), encoded+"=", base64.URLEncoding.EncodeToString([]byte(text)))
}

// needsQuotes is whether a person would write this in quotes.
func needsQuotes(value string) bool {
	return value == "" || strings.ContainsAny(value, "\t\n#'\"\\:{}[]&*!|>%@`") || strings.TrimSpace(value) != value ||
		value == "null" || value == "~" || strings.HasPrefix(value, "- ")
}

func doubleQuoted(value string) string {
	quoted, _ := json.Marshal(value)
	return string(quoted)
}

// flowMapping is the object in braces.
func (g *generator) flowMapping(fields []field) string {
	entries := []string{}
	for _, field := range fields {
		value := field.value
		if needsQuotes(value) && !field.plain {
			value = doubleQuoted(value)
		}
		entries = append(entries, weighted(g, field.name, `"`+field.name+`"`, "'"+field.name+"'", "? "+field.name)+
			weighted(g, ": ", ":", ":\t", " : ", ":\n  ", ": # c\n")+weighted(g, value, doubleQuoted(value), "!!str "+value, "&a "+value, "''", "", "{}"))
	}
	separator := weighted(g, ", ", ",", ",\n  ", ",\n", " ,\t", ",,", ", # c\n  ")
	return weighted(g, "{", "{ ", "{\n  ", "--- {", "!!map {", "{, ") + strings.Join(entries, separator) + weighted(g, "}", ",}", "\n}", " }\n# end", "", "}}") + "\n"
}

// jsonMapping is the object as a program writes it.
func jsonMapping(fields []field) string {
	entries := []string{}
	for _, field := range fields {
		entries = append(entries, fmt.Sprintf("%s:%s", doubleQuoted(field.name), doubleQuoted(field.value)))
	}
	return "{" + strings.Join(entries, ",") + "}\n"
}

// merged is the object with merges, anchors and documents around its fields.
func (g *generator) merged(text string, fields []field) string {
	first := fields[0]
	rest := ""
	for _, field := range fields[1:] {
		rest += g.line(field) + "\n"
	}
	base := fmt.Sprintf("{%s: %s}", first.name, doubleQuoted(first.value))
	return one(g,
		"<<: "+base+"\n"+rest, rest+"<<: "+base+"\n", "base: &b "+base+"\n<<: *b\n"+rest, "<<: ["+base+"]\n"+rest, "<<:\n  - "+base+"\n  - {objectType: key, x: y}\n"+rest,
		"a: &a {objectType: key}\nb: &b "+base+"\n<<: [*b, *a]\n"+rest, "a: &a {objectType: key}\nb: &b "+base+"\n<<: [*a, *b]\n"+text, "<<: "+base+"\n<<: {x: y}\n"+rest,
		"<<: x\n"+text, "<<: [x]\n"+text, "<<: ~\n"+text, "<<: []\n"+text, "<<: {}\n"+text, "<<: [[{x: y}]]\n"+text, "'<<': "+base+"\n"+rest, "!!merge <<: "+base+"\n"+rest, "! <<: "+base+"\n"+rest, "!!str <<: "+base+"\n"+rest,
		"a: &a "+doubleQuoted(first.value)+"\n"+first.name+": *a\n"+rest, "a: &a "+first.name+"\n*a : "+doubleQuoted(first.value)+"\n"+rest,
		"<<: {<<: "+base+"}\n"+rest, "<<: {"+first.name+": [x]}\n"+text, "<<: {"+first.name+": ~}\n"+text, "<<: {objectVersionHistory: x}\n"+text,
		text+"---\nother: x\n", "---\n"+text, text+"...\n", "%YAML 1.2\n---\n"+text, "# comment\n"+text, "\ufeff"+text, "\n"+text, "  "+strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ")+"\n",
		"- "+text, "x\n", "", "[]", "{}", "~", text+text, text+"  x: y\n", text+" x: y\n", text+"x\n", text+"x:y\n", text+"\tx: y\n", text+"a: [\n  b,\n  c\n]\n", text+"a: [\nb\n]\n", text+"a: {b\n", text+"a: 'b\n", text+"a: \"b\nc\"\n", text+"a: b\n c\n", text+"a: &x [*x]\n", text+"a: *nope\n", text+"~: x\n", text+"[a, b]: c\n", text+"{a: b}: c\n", text+"? [a]\n: b\n", text+"1: x\n", text+"true: x\n", text+": x\n", text+"a:\n- b\n- c\n", text+"a:\n  b: {c: [d]}\n", text+"a: !x {b: c}\n", text+"a: !!set {b}\n", text+"a: {b, c: d}\n", text+"a: [b: c]\n", text+"a: {b: c, b: d}\n", text+"a:\n  b: 1\n  b: 2\n", text+"@: x\n", text+"a: @b\n", text+"a: %b\n", text+"a: `b\n", text+"a: \"\\q\"\n", text+"a: \"\\xzz\"\n", text+"a: b: c\n", text+"a: - b\n", text+"- a\n", text+"a: >\n  b\n c\n", text+"a: |\n b\n", text+"a: |\n\tb\n", text+"!!int a: b\n", text+"a: !!int b\n", text+"a: !!binary %\n", text+"a: !!float x\n")
}
