package judge

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// golden lists what is not the same, and what convert does not carry over.
const golden = "testdata/differences.txt"

var update = flag.Bool("update", false, "write "+golden+" anew")

// findings are what all cases show.
type findings struct {
	// judged are the ExternalSecrets that were compared.
	judged map[string]bool
	// differences are the places that were not compared or are not the same, with the reason.
	differences map[string]string
}

// report prints what was compared and what was not, and checks the latter against the list. If that is right,
// go test -update writes the list anew.
func (f *findings) report(t *testing.T) {
	t.Helper()
	fmt.Printf("compared, each with %d kinds of values:\n", len(contents))
	for _, name := range slices.Sorted(maps.Keys(f.judged)) {
		fmt.Println("  " + name)
	}
	var list strings.Builder
	fmt.Println("not carried over, or not the same bytes:")
	for _, place := range slices.Sorted(maps.Keys(f.differences)) {
		fmt.Printf("  %s: %s\n", place, f.differences[place])
		fmt.Fprintln(&list, place)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(list.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	before := map[string]bool{}
	for line := range strings.Lines(string(written)) {
		place := strings.TrimSuffix(line, "\n")
		before[place] = true
		if _, ok := f.differences[place]; !ok {
			t.Errorf("%s is in %s, and was not found", place, golden)
		}
	}
	for place, reason := range f.differences {
		if !before[place] {
			t.Errorf("%s is not in %s: %s", place, golden, reason)
		}
	}
}
