package peer

import (
	"encoding/json"
	"fmt"
	"strings"
)

// objects is the parameter as people write it: a YAML document with an array of texts that are YAML themselves.
func (g *generator) objects() (text string, found bool) {
	if g.odd() && g.odd() {
		return one(g, "", " ", "array:", "array: []", "array: ~", "x", "[]", "array: x", "array: {}", "\x00", "{",
			"- |\n  objectName: db-password\n  objectType: secret\n", "array: !!seq []", "# nothing"), g.IntN(4) > 0
	}
	count := 1 + min(g.IntN(6), g.IntN(6))
	if g.oddity > 0.05 {
		count = 1 + g.IntN(2)
	}
	texts := []string{}
	for range count {
		texts = append(texts, g.mapping())
	}
	if g.IntN(12) == 0 {
		text = g.flowArray(texts)
	} else {
		text = g.blockArray(texts)
	}
	switch {
	case g.odd():
		text = g.mangledDocument(text)
	case g.vary():
		text = g.framed(text)
	}
	switch {
	case g.odd():
		text = strings.ReplaceAll(text, "\n", one(g, "\r", "\n\n", " \n", " # c\n", "\t\n", "\u2029"))
	case g.vary() && g.IntN(4) == 0:
		text = strings.ReplaceAll(text, "\n", one(g, "\r\n", "\r\n", "\u0085", "\u2028"))
	}
	return text, true
}

// framed is the document with something around it.
func (g *generator) framed(text string) string {
	return one(g,
		"---\n"+text, "--- # objects\n"+text, "%YAML 1.1\n---\n"+text, text+"...\n", text+"---\nother: document\n", "# a comment\n"+text, text+"# the end",
		strings.TrimSuffix(text, "\n"), "\n\n"+text, "x: 1\n"+text, text+"x: [1, {a: b}]\n", "common: &c {objectType: secret}\n"+text, "? x\n: y\n"+text, text+"? x\n",
		"!!str x: y\n"+text, "&k x: y\n"+text, "# a\n---\n# b\n"+text, "<<: {x: y}\n"+text, "a: &a {x: y}\n<<: [*a]\n"+text, text+"\n  \n", "'<<': x\n"+text)
}

// mangledDocument is the document with something around it that may keep it from being read.
func (g *generator) mangledDocument(text string) string {
	return one(g,
		"%YAML 1.2\n---\n"+text, text+"---\n\tnot: yaml: at all\n", "\ufeff"+text, text+"array: []\n", "\t"+text, text+"\t\n", "--- !!map\n"+text, text+"\n... trailing",
		"%TAG ! tag:peer.test,2000:\n---\n"+text, "%FOO bar\n---\n"+text, "~: x\n"+text, "[a]: x\n"+text, "--- "+text, "---\n---\n"+text, "...\n"+text)
}

// flowArray is the array in brackets, as JSON or nearly so.
func (g *generator) flowArray(texts []string) string {
	items := []string{}
	for _, text := range texts {
		quoted, _ := json.Marshal(text)
		items = append(items, weighted(g, string(quoted), "null", "~", "", "'"+strings.ReplaceAll(text, "'", "''")+"'", "! "+string(quoted)))
	}
	separator := one(g, ",", ", ", ",\n  ", weighted(g, " ,", ",,", ", # c\n", ",\t"))
	list := strings.Join(items, separator) + weighted(g, "", ",", ", ")
	return fmt.Sprintf(one(g, "{\"array\":[%s]}\n", "array: [%s]\n", "array: [\n  %s\n  ]\n", "array: [\n  %s\n]\n",
		weighted(g, "{array: [%s]}\n", "array:\n  [%s]\n", "{\"array\": [%s],}\n", "{array : [\n%s\n]}\n", "{array:[%s]}\n", "array: [\n%s\n]\n", "array: [\n\t%s\n\t]\n")), list)
}

// blockArray is the array as a list with dashes.
func (g *generator) blockArray(texts []string) string {
	indent := strings.Repeat(" ", one(g, 0, 2, 2, 2, 4))
	var text strings.Builder
	text.WriteString(weighted(g, varied(g, "array:", "array: ", "array:  # the objects", `"array":`, "'array':", "array :", "array: !!seq", "array: &all", "!!str array:", "&k array:"),
		"Array:", "arrays:", "? array\n:", "array:\t", "array:\t# c") + "\n")
	anchored := false
	for number, inner := range texts {
		switch {
		case g.vary():
			text.WriteString(one(g, "\n", "# comment\n", indent+"# comment\n", indent+"-\n", indent+"- ~\n", indent+"- null\n"))
		case g.odd():
			text.WriteString(one(g, "\t\n", " \t # comment\n", indent+"- "+g.nothing()+"\n"))
		}
		item := g.item(inner, indent)
		switch {
		case g.vary() && anchored:
			item = "*first"
		case number == 0 && len(texts) > 1 && g.vary():
			item, anchored = "&first "+item, true
		}
		text.WriteString(indent + weighted(g, varied(g, "- ", "-   "), "-\t", "- \t", "-\n"+indent+"  ", "-", "- # c\n"+indent+"  ") + item + "\n")
	}
	return text.String()
}

// nothing is an item that is none, or nearly so.
func (g *generator) nothing() string {
	return one(g, "", "~", "null", "Null", "NULL", "# nothing", "!!null", "!!null ''", "&nothing", "! ~", "!!str", "''", `""`, `"~"`, "{}", "[]", "|", "nULL", "|\n", ">-", "x", "7", "!!null null", "!!null x")
}

// item is the text as a node of the list. What follows its first line is indented deeper than the dash.
func (g *generator) item(text, indent string) string {
	deeper := "\n" + indent + strings.Repeat(" ", one(g, 2, 2, 2, 4, 1))
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	block := func(header string, between string) string {
		return header + deeper + strings.Join(lines, between+deeper)
	}
	quoted, _ := json.Marshal(text)
	if !g.odd() {
		usual := one(g, block("|", ""), block("|", ""), block("|", ""), block("|-", ""), string(quoted))
		return varied(g, usual, block("|+", ""), block("| # comment", ""), block("!!str |", ""), block("! |", ""), string(quoted)+" # comment",
			"'"+strings.ReplaceAll(strings.Join(lines, "\n"+deeper), "'", "''")+"'", `"`+strings.ReplaceAll(string(quoted)[1:len(quoted)-1], `\n`, `\n\`+deeper)+`"`, block("|", "")+"\n\n")
	}
	return one(g,
		block("|+", ""), block("| # comment", ""), block("|2", ""), block("|2-", ""), block("|1", ""), block("|-2", ""), block("|\t", ""), block("!!str |", ""), block("! |", ""),
		block("&item |", ""), block("&item !!str |-", ""), block(">", "\n"), block(">-", "\n"), block(">", ""), block("|\n", ""), block("|", "\n"),
		block("", ""), "'"+strings.ReplaceAll(strings.Join(lines, "\n"+deeper), "'", "''")+"'", "!!binary "+g.binary(text), block("!!binary |", ""),
		`"`+strings.Join(lines, `\n\`+deeper)+`"`, string(quoted)+" # comment", "\""+strings.ReplaceAll(string(quoted)[1:len(quoted)-1], " ", `\x20`)+"\"",
		block("|", "  "), block("|", "\t"), "{"+strings.Join(lines, ", ")+"}", block("!!map", ""), "! "+string(quoted), "["+string(quoted)+"]",
		strings.Replace(block("|", ""), "|"+deeper, "|"+deeper+"  ", 1), block("|", "")+"\n"+indent+"# comment", block("|", "")+"\n\n", block("|", "")+"\n   \n", block("|0", ""), block("|10", ""), block("|x", ""),
		block("|\n   \n", ""), block("!peer |", ""), block("!<tag:yaml.org,2002:str> |", ""), "*first", "*missing", "&first *first")
}
