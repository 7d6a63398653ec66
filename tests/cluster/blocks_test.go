package cluster

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// repositoryFile is a file's text; the path is relative to the repository's top folder.
func repositoryFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// shellBlocks are a document's blocks of shell commands below a heading; all of its blocks if the heading is empty.
func shellBlocks(t *testing.T, document, heading string) []string {
	t.Helper()
	text := repositoryFile(t, document)
	if heading != "" {
		_, below, found := strings.Cut(text, "\n"+heading+"\n")
		if !found {
			t.Fatalf("%s has no heading %q", document, heading)
		}
		text = nextHeading.Split(below, 2)[0]
	}
	var blocks []string
	for _, match := range shellBlock.FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, match[1])
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no commands below %q", document, heading)
	}
	return blocks
}

var (
	nextHeading = regexp.MustCompile(`(?m)^##+ `)
	shellBlock  = regexp.MustCompile("(?s)```sh\n(.*?)```")
)
