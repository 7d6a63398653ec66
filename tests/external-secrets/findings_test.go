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

// golden lists the differences, and everything that convert does not carry over.
const golden = "testdata/differences.txt"

var update = flag.Bool("update", false, "rewrite "+golden)

// findings are the results of all cases.
type findings struct {
	// judged are the ExternalSecrets that were compared.
	judged map[string]bool
	// differences are the locations that were not compared or differ, with the reason.
	differences map[string]string
}

// report prints the compared ExternalSecrets and the differences, and checks the differences against the list.
// go test -update rewrites the list.
func (f *findings) report(t *testing.T) {
	t.Helper()
	fmt.Printf("compared, each with %d kinds of values:\n", len(contents))
	for _, name := range slices.Sorted(maps.Keys(f.judged)) {
		fmt.Println("  " + name)
	}
	var list strings.Builder
	fmt.Println("not carried over, or not the same bytes:")
	for _, location := range slices.Sorted(maps.Keys(f.differences)) {
		fmt.Printf("  %s: %s\n", location, f.differences[location])
		fmt.Fprintln(&list, location)
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
		location := strings.TrimSuffix(line, "\n")
		before[location] = true
		if _, ok := f.differences[location]; !ok {
			t.Errorf("%s is in %s, but was not found: remove it with go test -update", location, golden)
		}
	}
	for location, reason := range f.differences {
		if !before[location] {
			t.Errorf("%s is not in %s: %s", location, golden, reason)
		}
	}
}
