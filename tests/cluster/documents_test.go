package cluster

import (
	"os"
	"strings"
	"testing"
)

// documented are the commands of the first block of shell code below a heading of a document, one for each command,
// without comments. The replacer fills in what the document leaves to the reader.
func documented(t *testing.T, document, heading string, fill *strings.Replacer) []string {
	t.Helper()
	text, err := os.ReadFile("../../" + document)
	if err != nil {
		t.Fatal(err)
	}
	_, below, found := strings.Cut(string(text), "\n"+heading+"\n")
	below, _, _ = strings.Cut(below, "\n## ")
	_, block, hasBlock := strings.Cut(below, "```sh\n")
	if !found || !hasBlock {
		t.Fatalf("%s has no commands below %q", document, heading)
	}
	block, _, _ = strings.Cut(block, "```")
	var commands []string
	for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", " ")) {
		line, _, _ = strings.Cut(line, " #")
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			commands = append(commands, fill.Replace(line))
		}
	}
	return commands
}

// installGuide are the commands of docs/install.md below a heading, for the images and the release of the scenarios.
func installGuide(t *testing.T, heading string) []string {
	t.Helper()
	return documented(t, "docs/install.md", heading,
		strings.NewReplacer("<registry>", registry, "<release>", release, "<namespace>", kubeSystem))
}

// command is the one of these commands that begins so.
func command(t *testing.T, commands []string, start string) string {
	t.Helper()
	for _, command := range commands {
		if strings.HasPrefix(command, start) {
			return command
		}
	}
	t.Fatalf("no command begins with %q in:\n%s", start, strings.Join(commands, "\n"))
	return ""
}

// userShell runs commands that change the releases.
func (s *scenario) userShell(commands string) string {
	s.t.Helper()
	s.installed = "changed by a scenario"
	return s.shell(commands)
}
