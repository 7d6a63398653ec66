package peer

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A failure's kind is its text without what is the request's: names, numbers and places.
var (
	quoted      = regexp.MustCompile("\"(?:\\\\.|[^\"\\\\])*\"|`[^`]*`|'[^']*'")
	theirObject = regexp.MustCompile(`objectType:[^,]*, objectName:[^,]*, objectVersion:[^:]*`)
	ourObject   = regexp.MustCompile(`, (secret|key|cert) [-A-Za-z0-9]+(:| )`)
	ourParts    = regexp.MustCompile(`(?:^|\.? )\(\d+\) `)
	ourCount    = regexp.MustCompile(`^\d+ (mistakes|objects failed):`)
	misspelt    = regexp.MustCompile("^(?:[^ ]+: (?:line \\d+, column \\d+: )?\"(?:\\\\.|[^\"\\\\])*\" is unknown; did you mean [^?]*\\? )+")
	numbers     = regexp.MustCompile(`\d+`)
	space       = regexp.MustCompile(`\s+`)
)

// faults are this provider's findings, each with its help, without warnings.
func (a answer) faults() []string {
	code, text, _ := strings.Cut(a.failure, ": ")
	text = warned(text)
	if !ourCount.MatchString(text) {
		return []string{code + ": " + text}
	}
	faults := []string{}
	for _, part := range ourParts.Split(text, -1)[1:] {
		if !strings.Contains(part, "is unknown; did you mean") {
			faults = append(faults, code+": "+part)
		}
	}
	return faults
}

// warned is the text without the warnings around it.
func warned(text string) string {
	text, _, _ = strings.Cut(text, "; warning: ")
	// A name that is probably misspelt comes first.
	return misspelt.ReplaceAllString(text, "")
}

// kinds are what a failure is about; a mount has none.
func (a answer) kinds() map[string]bool {
	kinds := map[string]bool{}
	if a.mounts() {
		return kinds
	}
	for _, fault := range a.faults() {
		problem, _, _ := strings.Cut(fault, "; ")
		problem = quoted.ReplaceAllString(theirObject.ReplaceAllString(problem, "object"), "…")
		problem = ourObject.ReplaceAllString(problem, ", $1 …$2")
		problem = space.ReplaceAllString(numbers.ReplaceAllString(problem, "0"), " ")
		kinds[problem] = true
	}
	return kinds
}

// difference is in what two answers differ: a set of kinds.
type difference map[string]bool

func differ(theirs, ours answer) difference {
	kinds := difference{}
	for kind := range theirs.kinds() {
		kinds["the Go provider fails: "+kind] = true
	}
	for kind := range ours.kinds() {
		kinds["this provider fails: "+kind] = true
	}
	if len(kinds) > 0 {
		return kinds
	}
	for path, their := range theirs.files {
		our, found := ours.files[path]
		kinds["a file is missing"] = kinds["a file is missing"] || !found
		kinds["a mode differs"] = kinds["a mode differs"] || found && our.mode != their.mode
		kinds["bytes differ"] = kinds["bytes differ"] || found && our.digest != their.digest
	}
	for path := range ours.files {
		_, found := theirs.files[path]
		kinds["there is another file"] = kinds["there is another file"] || !found
	}
	kinds["versions differ"] = !maps.Equal(theirs.versions, ours.versions)
	maps.DeleteFunc(kinds, func(_ string, differs bool) bool { return !differs })
	return kinds
}

// within is whether the difference is one, and of no kind that the other has not.
func (d difference) within(other difference) bool {
	for kind := range d {
		if !other[kind] {
			return false
		}
	}
	return len(d) > 0
}

func (d difference) String() string {
	return strings.Join(slices.Sorted(maps.Keys(d)), " / ")
}
