package peer

import (
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"testing"
)

// TestEveryRuleIsDocumented checks that docs/differences.md has the same names, in the same order.
func TestEveryRuleIsDocumented(t *testing.T) {
	document := string(read(t, filepath.Join("..", "..", "docs", "differences.md")))
	written := []string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(document, -1) {
		written = append(written, row[1])
	}
	named := []string{}
	for _, rule := range rules {
		named = append(named, rule.name)
	}
	if !slices.Equal(written, named) {
		t.Errorf("docs/differences.md has the rules\n%q,\nand named_test.go has\n%q", written, named)
	}
	if again := slices.Compact(slices.Sorted(slices.Values(named))); len(again) != len(named) {
		t.Errorf("a rule is there twice: %q", named)
	}
}

// TestTheSameSeedGivesTheSameRequests checks that a reported request can be reproduced.
func TestTheSameSeedGivesTheSameRequests(t *testing.T) {
	catalogue := catalogue(t)
	different := 0
	for index := range uint64(300) {
		requests := []*request{}
		for _, seed := range []uint64{1, 1, 2} {
			generator := &generator{catalogue: catalogue, cloudFile: "cloud.json"}
			requests = append(requests, generator.request(seed, index))
		}
		if !reflect.DeepEqual(requests[0], requests[1]) {
			t.Fatalf("request %d is another one at the second time:\n%s\n%s", index, requests[0], requests[1])
		}
		if requests[0].objects() != requests[2].objects() {
			different++
		}
	}
	if different < 200 {
		t.Errorf("another seed gives the same objects in %d of 300 requests", 300-different)
	}
}

// TestEveryRuleIsShownByItsExample is the promise that no rule is there without its difference.
func TestEveryRuleIsShownByItsExample(t *testing.T) {
	pair := startPair(t, startAzure(t), flagSets[0])
	theirs, ours, err := pair.mount(ordinary())
	if err != nil || !theirs.mounts() || !theirs.equal(ours) {
		t.Fatalf("an ordinary request does not mount the same: %v\n%s\n%s", err, theirs, ours)
	}
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			request := ordinary()
			rule.example(request)
			theirs, ours, err := pair.mount(request)
			if err != nil {
				t.Fatal(err)
			}
			if explained := explain(request, theirs, ours); explained != rule.name {
				t.Errorf("it is explained by %q:\n%s\nthe Go provider %s\n\nthis provider %s", explained, request, theirs, ours)
			}
		})
	}
}
