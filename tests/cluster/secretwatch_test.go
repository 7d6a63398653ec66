package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// secretWatch sees every change of some Secrets, and records each after which one of them is not there as it must be.
type secretWatch struct {
	t *testing.T
	// keys are the keys that each Secret must always have, by the Secret's name.
	keys map[string][]string

	mutex sync.Mutex
	// accepted are the values that the key "password" may have.
	accepted []string
	lost     []string
	changes  map[string]int
	// last is the newest change of each Secret.
	last map[string]string
	// history is who wrote each change, for the log of a scenario.
	history []string
}

// watchSecrets begins to watch. The Secrets must be there, and stay until the scenario stops the watch.
func (s *scenario) watchSecrets(api api, namespace string, keys map[string][]string, accepted ...string) *secretWatch {
	s.t.Helper()
	w := &secretWatch{t: s.t, keys: maps.Clone(keys), accepted: accepted, changes: map[string]int{}, last: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { api.watch(ctx, s.t, "/api/v1/namespaces/"+namespace+"/secrets?watch=true", w.changed) })
	s.t.Cleanup(func() { cancel(); running.Wait() })
	s.until(func() error {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		for name := range keys {
			if w.changes[name] == 0 {
				return fmt.Errorf("the watch has not seen Secret %s yet", name)
			}
		}
		return nil
	})
	return w
}

func (w *secretWatch) changed(e event) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	name := e.Object.at("metadata").text("name")
	keys, watched := w.keys[name]
	if !watched {
		return
	}
	w.changes[name]++
	var owners []string
	for _, owner := range e.Object.owners() {
		owners = append(owners, owner.text("kind"))
	}
	data, labels := e.Object.texts(), slices.Sorted(maps.Keys(e.Object.at("metadata").at("labels")))
	line := fmt.Sprintf("%s Secret %s: password %q, owners %v, labels %v", e.Type, name, data["password"], owners, labels)
	w.history, w.last[name] = append(w.history, line), line
	held := slices.Sorted(maps.Keys(data))
	if e.Type == "DELETED" || !slices.Equal(held, keys) || !slices.Contains(w.accepted, data["password"]) {
		w.lost = append(w.lost, line)
	}
}

// accept changes the values that the key "password" may have.
func (w *secretWatch) accept(values ...string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.accepted = values
}

// forget lets a Secret go from now on.
func (w *secretWatch) forget(name string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	delete(w.keys, name)
}

func (w *secretWatch) accepts() []string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.accepted
}

// losses are the changes after which a Secret was not there as it must be.
func (w *secretWatch) losses() []string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return slices.Clone(w.lost)
}

// seen is a count of changes, for a later look at what came after them.
func (w *secretWatch) seen() int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return len(w.history)
}

// since are the changes after a count of changes.
func (w *secretWatch) since(count int) []string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return slices.Clone(w.history[count:])
}

// comes waits for a change after a count of changes that matches all these texts.
func (w *secretWatch) comes(s *scenario, after int, texts ...string) {
	s.t.Helper()
	s.until(func() error {
		changes := w.since(after)
		for _, change := range changes {
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(change, text) }) {
				return nil
			}
		}
		return fmt.Errorf("no change has all of %q:\n%s", texts, strings.Join(changes, "\n"))
	})
}

// loses waits until none of the Secrets has one of these marks, and returns the count of changes until then.
func (w *secretWatch) loses(s *scenario, secrets []string, marks ...string) (count int) {
	s.t.Helper()
	s.until(func() error {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		for _, secret := range secrets {
			if hasOne(w.last[secret], marks) {
				return fmt.Errorf("the Secret still has one of the marks %q: %s", marks, w.last[secret])
			}
		}
		count = len(w.history)
		return nil
	})
	return count
}

func hasOne(change string, marks []string) bool {
	return slices.ContainsFunc(marks, func(mark string) bool { return strings.Contains(change, mark) })
}

// hasNone fails the scenario if a change after a count of changes has one of these marks.
func (w *secretWatch) hasNone(after int, marks ...string) {
	w.t.Helper()
	for _, change := range w.since(after) {
		if hasOne(change, marks) {
			w.t.Errorf("a Secret that was given up has marks %q again: %s", marks, change)
		}
	}
}

// check fails the scenario if a Secret has ever been lost.
func (w *secretWatch) check() {
	w.t.Helper()
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.t.Logf("%d changes of the Secrets:\n%s", len(w.history), strings.Join(w.history, "\n"))
	for _, line := range w.lost {
		w.t.Errorf("a Secret must always be there with its keys %v and one of its values: %s", w.keys, line)
	}
}
