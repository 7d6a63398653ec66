// Package peer sends the same mount requests to the Go provider and to this one, before the same emulated
// Azure, and compares the answers; docs/differences.md lists the intended differences.
package peer

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

var (
	count    = flag.Uint64("requests", 500, "how many requests are sent")
	first    = flag.Uint64("seed", 1, "the seed of the generator")
	only     = flag.Int64("only", -1, "the one request of the seed to send, by its index")
	reported = flag.Int("report", 10, "how many unexplained differences are shown")
)

// flagSets are the operators' switches that are tried: a pair of providers each.
var flagSets = []flags{{true, false}, {true, true}, {false, false}, {false, true}}

// TestWhatTheGoProviderMountsIsMountedTheSame is the promise.
func TestWhatTheGoProviderMountsIsMountedTheSame(t *testing.T) {
	azure := startAzure(t)
	catalogue := catalogue(t)
	tally := &tally{rules: map[string]int{}, unexplained: map[uint64]string{}}
	var workers sync.WaitGroup
	for _, flags := range flagSets {
		pair := startPair(t, azure, flags)
		workers.Go(func() {
			generator := &generator{catalogue: catalogue, cloudFile: azure.cloudFile}
			for index := range *count {
				if *only >= 0 {
					index = uint64(*only)
				}
				request := generator.request(*first, index)
				if request.flags == flags {
					if err := compare(pair, request, tally); err != nil {
						t.Error(err)
						return
					}
				}
				if *only >= 0 {
					return
				}
			}
		})
	}
	workers.Wait()
	tally.report(t)
}

// compare sends one request to both, and shrinks it if the answers differ.
func compare(pair *pair, request *request, tally *tally) error {
	theirs, ours, err := pair.mount(request)
	if err != nil {
		return err
	}
	rule := explain(request, theirs, ours)
	if *only >= 0 {
		fmt.Printf("%s\nthe Go provider %s\n\nthis provider %s\n\nrule: %q\n", request, theirs, ours, rule)
	}
	if rule != unexplained {
		tally.add(request.index, theirs, ours, rule, "")
		return nil
	}
	shrunk, err := shrink(pair, request)
	if err != nil {
		return err
	}
	theirs, ours, err = pair.mount(shrunk)
	if err != nil {
		return err
	}
	tally.add(request.index, theirs, ours, rule, fmt.Sprintf("%s\nthe Go provider %s\n\nthis provider %s\n\nThe kind: %s", shrunk, theirs, ours, differ(theirs, ours)))
	return nil
}

// tally counts the results of the requests.
type tally struct {
	mutex                                   sync.Mutex
	requests, bothMount, bothFail, oneFails int
	theyMount                               int
	rules                                   map[string]int
	unexplained                             map[uint64]string
}

func (c *tally) add(index uint64, theirs, ours answer, rule, report string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.requests++
	switch {
	case theirs.mounts() && ours.mounts():
		c.bothMount++
	case theirs.mounts() || ours.mounts():
		c.oneFails++
	default:
		c.bothFail++
	}
	if theirs.mounts() {
		c.theyMount++
	}
	switch rule {
	case same:
	case unexplained:
		c.unexplained[index] = report
	default:
		for name := range strings.SplitSeq(rule, " + ") {
			c.rules[name]++
		}
	}
}

// report logs the results, and fails if a difference is unexplained.
func (c *tally) report(t *testing.T) {
	t.Helper()
	for shown, index := range slices.Sorted(maps.Keys(c.unexplained)) {
		if shown < *reported {
			t.Errorf("unexplained difference:\n%s\n", c.unexplained[index])
		}
	}
	named := 0
	var rules []string
	for _, rule := range slices.Sorted(maps.Keys(c.rules)) {
		named += c.rules[rule]
		rules = append(rules, fmt.Sprintf("%s %d", rule, c.rules[rule]))
	}
	share := 100 * c.bothMount / max(c.requests, 1)
	if share < 50 && *only < 0 {
		t.Errorf("only %d %% of the requests mount on both sides: what fails on both says little", share)
	}
	if len(c.unexplained) > 0 {
		t.Errorf("%d differences are unexplained", len(c.unexplained))
	}
	fmt.Printf("peer: %d requests of seed %d: the Go provider mounts %d, both mount %d (%d %%), both fail %d; "+
		"%d differences by %d named rules (%s), %d unexplained\n", c.requests, *first, c.theyMount, c.bothMount, share, c.bothFail, named, len(c.rules), strings.Join(rules, ", "), len(c.unexplained))
}
