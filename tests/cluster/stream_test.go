package cluster

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// streamWidth is how many pods of a stream may wait for their volumes at the same time.
const streamWidth = 3

// stream creates pods one after another, as a busy node sees them: each mounts the class, becomes ready, and shows that
// it has read a value. Then it is deleted and the next one comes.
type stream struct {
	s         *scenario
	namespace string
	name      string
	accepted  *regexp.Regexp
	stopped   atomic.Bool
	count     atomic.Int64
	ready     atomic.Int64
	workers   sync.WaitGroup
	mutex     sync.Mutex
	failures  []string
}

// startStream begins to create pods in the namespace, with the account "app" and the class "class". Their names begin with
// the stream's. The values that they may read match the expression.
func (s *scenario) startStream(namespace, name, accepted string) *stream {
	s.t.Helper()
	st := &stream{s: s, namespace: namespace, name: name, accepted: regexp.MustCompile("^(" + accepted + ")$")}
	for range streamWidth {
		st.workers.Go(func() {
			for !st.stopped.Load() {
				if err := st.onePod(fmt.Sprintf("%s-%d", name, st.count.Add(1))); err != nil {
					st.mutex.Lock()
					st.failures = append(st.failures, err.Error())
					st.mutex.Unlock()
					return
				}
				st.ready.Add(1)
			}
		})
	}
	// A scenario that ends early must not leave a worker behind, which would go on in the next one.
	s.t.Cleanup(func() { st.stopped.Store(true); st.workers.Wait() })
	return st
}

func (st *stream) onePod(name string) error {
	c := st.s.cluster
	if _, err := c.Kubectl(podManifest(st.namespace, name, "app", "class"), "create", "--filename=-"); err != nil {
		return err
	}
	if _, err := c.Kubectl("", "wait", "--for=condition=Ready", "--timeout="+patience.String(),
		"--namespace="+st.namespace, "pod/"+name); err != nil {
		return err
	}
	value, err := c.Kubectl("", "exec", "--namespace="+st.namespace, name, "--", "cat", "/secrets/password")
	if err != nil {
		return err
	}
	if !st.accepted.MatchString(value) {
		return fmt.Errorf("pod %s reads %q, which is no value that the vault has had", name, value)
	}
	_, err = c.Kubectl("", "delete", "pod", name, "--namespace="+st.namespace, "--wait=false")
	return err
}

// atLeast waits until the stream has had this many more pods that became ready.
func (st *stream) atLeast(more int64) {
	st.s.t.Helper()
	wanted := st.ready.Load() + more
	st.s.until(func() error {
		if ready := st.ready.Load(); ready < wanted {
			return fmt.Errorf("%d pods of the stream have become ready, want %d\n%s", ready, wanted, st.failed())
		}
		return nil
	})
}

// stop creates no more pods, waits until those that are there are ready, and prints how many mounts failed and were
// repeated by kubelet.
func (st *stream) stop() (failedMounts int) {
	st.s.t.Helper()
	st.stopped.Store(true)
	st.workers.Wait()
	if failed := st.failed(); failed != "" {
		st.s.t.Errorf("every pod must become ready:\n%s", failed)
	}
	for _, failure := range st.s.failedMounts(st.namespace) {
		if strings.HasPrefix(failure.pod, st.name+"-") {
			failedMounts += failure.count
			st.s.t.Logf("%d failed mounts of %s: %s", failure.count, failure.pod, failure.message)
		}
	}
	st.s.t.Logf("%d pods of the stream %q became ready; %d mounts failed on the way", st.ready.Load(), st.name, failedMounts)
	return failedMounts
}

func (st *stream) failed() string {
	st.mutex.Lock()
	defer st.mutex.Unlock()
	return strings.Join(st.failures, "\n")
}

// failedMount is an event that kubelet records when a volume could not be mounted.
type failedMount struct {
	pod, message string
	count        int
}

// failedMounts are all events with the reason FailedMount in a namespace.
func (s *scenario) failedMounts(namespace string) []failedMount {
	s.t.Helper()
	output := s.kubectl("get", "events", "--namespace="+namespace, "--field-selector=reason=FailedMount",
		`--output=jsonpath={range .items[*]}{.count}{"\t"}{.involvedObject.name}{"\t"}{.message}{"\x00"}{end}`)
	var failures []failedMount
	for _, event := range strings.Split(output, "\x00") {
		fields := strings.SplitN(event, "\t", 3)
		if len(fields) != 3 {
			continue
		}
		// An event without a count has happened once.
		count, err := strconv.Atoi(fields[0])
		if err != nil {
			count = 1
		}
		failures = append(failures, failedMount{pod: fields[1], message: strings.TrimSpace(fields[2]), count: count})
	}
	return failures
}
