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
	for number, field := range fields {
		text.WriteString(g.line(field) + "\n")
		switch {
		case g.vary():
			// An unknown field, as often as it may be there.
			x := fmt.Sprintf("x%d", number)
			text.WriteString(one(g, "\n", "# comment\n", "  # comment\n", "  \n", x+":\n  - y\n", x+": &x y\n", "? "+x+"\n: y\n", x+": |\n  text\n", x+": {y: [z]}\n"))
		case g.odd():
			text.WriteString(one(g, "\t\n", "\t# comment\n", "x: |\ntext\n", "x\n", "- x\n"))
		}
	}
	if g.odd() || g.vary() && g.IntN(4) == 0 {
		return g.merged(text.String(), fields)
	}
	return text.String()
}

// line is a field on a line of its own.
func (g *generator) line(field field) string {
	key := varied(g, field.name, `"`+field.name+`"`, "'"+field.name+"'", "!!str "+field.name, "&k "+field.name)
	key = weighted(g, key, "? "+field.name+"\n", "!!binary "+g.binary(field.name), " "+field.name, "!peer "+field.name)
	colon := varied(g, ": ", ":\t", ":  ", ":\t\t", ": \t", ":\t ", " : ", ":\n  ")
	colon = weighted(g, colon, ":", "\t: ", ":\n\t", ": # c\n  ", ":\t# c\n  ")
	end := varied(g, "", " ", "\t", " # comment", "\t# comment", " #")
	return key + colon + g.value(field) + weighted(g, end, "#comment", " x", " : x")
}

// value is a field's value as YAML.
func (g *generator) value(field field) string {
	value := field.value
	plain := value
	if needsQuotes(value) && !field.plain && !g.odd() {
		return doubleQuoted(value)
	}
	if field.plain && value == "" {
		return weighted(g, varied(g, "", "~", "null", "&empty"), `""`, "''", "!!str", "|")
	}
	if value == "" {
		plain = one(g, "", `""`, "''", varied(g, "", "~", "null", "!!str", "!!null ''", "&empty", "|", "\" \""))
		return weighted(g, plain, "!", "[]", "{}", "!!null x")
	}
	if field.plain {
		return weighted(g, plain, "\""+value+"\"", "'"+value+"'", "!!int "+value, "!!int \""+value+"\"", "!!str "+value, "!!float "+value, "["+value+"]", "|\n  "+value, "&a "+value)
	}
	usual := varied(g, plain, doubleQuoted(value), "'"+strings.ReplaceAll(value, "'", "''")+"'", "!!str "+value, "!!str \""+value+"\"", "&anchor "+value,
		"! '"+value+"'", "|\n  "+value, "|-\n  "+value, ">-\n  "+value, "\n  "+value, value+" ", " "+value, "\""+value+"\\n\"", "\"\\x20"+value+"\\t\"", "\""+value+"\\u00a0\"",
		"'"+value+"\n  '", "\"\\\n  "+value+"\"")
	return weighted(g, usual, "!!binary "+g.binary(value), "!!binary \""+g.binary(value)+"\"", "!peer "+value, "! "+value, "!!int "+value, "!!null "+value, "!!float "+value, "!!bool "+value, "!!timestamp "+value,
		"{"+value+"}", "["+value+"]", "<<", "*anchor", "!!binary %%%", "\"a\nb\"", "a\n  b", "a\n\n  b",
		"@"+value, "`"+value, "%"+value, "&"+value, "*"+value, "!"+value, "-"+value, "- "+value, "?"+value, ":"+value, value+":", value+": x", value+" #x", value+"#x", ","+value, value+", x", "["+value, value+"]", "|"+value, "<"+value, "\x01"+value, value+"\u2028x", "\ufeff"+value, "\U0001f600")
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
		if !field.plain {
			value = weighted(g, varied(g, value, doubleQuoted(field.value)), "!!str "+value, "&a "+value, "''", "", "{}")
		}
		entries = append(entries, weighted(g, varied(g, field.name, `"`+field.name+`"`, "'"+field.name+"'"), "? "+field.name)+
			weighted(g, varied(g, ": ", ":\t", " : ", ":\n  "), ":", ": # c\n")+value)
	}
	separator := weighted(g, varied(g, ", ", ",", ",\n  ", ",\n"), " ,\t", ",,", ", # c\n  ")
	return weighted(g, varied(g, "{", "{ ", "{\n  ", "!!map {"), "{, ", "--- {") + strings.Join(entries, separator) +
		weighted(g, varied(g, "}", ",}", "\n}", " }\n# end"), "", "}}") + "\n"
}

// jsonMapping is the object as a program writes it.
func jsonMapping(fields []field) string {
	entries := []string{}
	for _, field := range fields {
		value := doubleQuoted(field.value)
		if field.plain && json.Valid([]byte(field.value)) {
			value = field.value
		}
		entries = append(entries, fmt.Sprintf("%s:%s", doubleQuoted(field.name), value))
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
	if g.odd() {
		return g.mangled(text, base, rest, first)
	}
	return one(g,
		"<<: "+base+"\n"+rest, rest+"<<: "+base+"\n", "base: &b "+base+"\n<<: *b\n"+rest, "<<: ["+base+"]\n"+rest, "<<:\n  - "+base+"\n  - {objectType: key, x: y}\n"+rest,
		"a: &a {x: y}\nb: &b "+base+"\n<<: [*b, *a]\n"+rest, "a: &a {objectType: key}\nb: &b "+base+"\n<<: [*a, *b]\n"+text, "<<: []\n"+text, "<<: {}\n"+text,
		"!!merge <<: "+base+"\n"+rest, "a: &a "+doubleQuoted(first.value)+"\n"+first.name+": *a\n"+rest, "a: &a "+first.name+"\n*a : "+doubleQuoted(first.value)+"\n"+rest,
		"<<: {<<: "+base+"}\n"+rest, "<<: ["+base+", {"+first.name+": \"\"}]\n"+rest, "a: &a ["+base+"]\nb: x\n"+text,
		text+"---\nother: x\n", "---\n"+text, text+"...\n", "%YAML 1.1\n---\n"+text, "# comment\n"+text, "\n"+text, "  "+strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ")+"\n",
		text+"a: [\n  b,\n  c\n]\n", text+"~: x\n", text+"1: x\n", text+"true: x\n", text+"a:\n- b\n- c\n", text+"a:\n  b: {c: [d]}\n", text+"a: !x {b: c}\n", text+"a: !!set {b}\n", text+"a: {b, c: d}\n", text+"a: [b: c]\n")
}

// mangled is the object with something around its fields that may keep it from being read.
func (g *generator) mangled(text, base, rest string, first field) string {
	return one(g,
		"<<: "+base+"\n"+rest, rest+"<<: "+base+"\n", "base: &b "+base+"\n<<: *b\n"+rest, "<<: ["+base+"]\n"+rest, "<<:\n  - "+base+"\n  - {objectType: key, x: y}\n"+rest,
		"a: &a {objectType: key}\nb: &b "+base+"\n<<: [*b, *a]\n"+rest, "a: &a {objectType: key}\nb: &b "+base+"\n<<: [*a, *b]\n"+text, "<<: "+base+"\n<<: {x: y}\n"+rest,
		"<<: x\n"+text, "<<: [x]\n"+text, "<<: ~\n"+text, "<<: []\n"+text, "<<: {}\n"+text, "<<: [[{x: y}]]\n"+text, "'<<': "+base+"\n"+rest, "!!merge <<: "+base+"\n"+rest, "! <<: "+base+"\n"+rest, "!!str <<: "+base+"\n"+rest,
		"a: &a "+doubleQuoted(first.value)+"\n"+first.name+": *a\n"+rest, "a: &a "+first.name+"\n*a : "+doubleQuoted(first.value)+"\n"+rest,
		"<<: {<<: "+base+"}\n"+rest, "<<: {"+first.name+": [x]}\n"+text, "<<: {"+first.name+": ~}\n"+text, "<<: {objectVersionHistory: x}\n"+text,
		text+"---\nother: x\n", "---\n"+text, text+"...\n", "%YAML 1.2\n---\n"+text, "# comment\n"+text, "\ufeff"+text, "\n"+text, "  "+strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ")+"\n",
		"- "+text, "x\n", "", "[]", "{}", "~", text+text, text+"  x: y\n", text+" x: y\n", text+"x\n", text+"x:y\n", text+"\tx: y\n", text+"a: [\n  b,\n  c\n]\n", text+"a: [\nb\n]\n", text+"a: {b\n", text+"a: 'b\n", text+"a: \"b\nc\"\n", text+"a: b\n c\n", text+"a: &x [*x]\n", text+"a: *nope\n", text+"~: x\n", text+"[a, b]: c\n", text+"{a: b}: c\n", text+"? [a]\n: b\n", text+"1: x\n", text+"true: x\n", text+": x\n", text+"a:\n- b\n- c\n", text+"a:\n  b: {c: [d]}\n", text+"a: !x {b: c}\n", text+"a: !!set {b}\n", text+"a: {b, c: d}\n", text+"a: [b: c]\n", text+"a: {b: c, b: d}\n", text+"a:\n  b: 1\n  b: 2\n", text+"@: x\n", text+"a: @b\n", text+"a: %b\n", text+"a: `b\n", text+"a: \"\\q\"\n", text+"a: \"\\xzz\"\n", text+"a: b: c\n", text+"a: - b\n", text+"- a\n", text+"a: >\n  b\n c\n", text+"a: |\n b\n", text+"a: |\n\tb\n", text+"!!int a: b\n", text+"a: !!int b\n", text+"a: !!binary %\n", text+"a: !!float x\n")
}
