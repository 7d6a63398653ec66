package cluster

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// readers creates pods that take variables from the Secrets, one after another, until it is stopped.
type readers struct {
	m       *shop
	stopped atomic.Bool
	ready   atomic.Int64
	// mounted counts those of them that mounted a class.
	mounted  atomic.Int64
	workers  sync.WaitGroup
	mutex    sync.Mutex
	failures []string
	// One of the two workers creates pods that mount a class; it holds the lock while such a pod starts.
	mountLock sync.Mutex
	mounts    bool
}

func (m *shop) startReaders() *readers {
	r := &readers{m: m}
	for _, worker := range []string{"plain", "mounting"} {
		r.workers.Go(func() {
			for count := 1; !r.stopped.Load(); count++ {
				if err := r.onePod(worker == "mounting", fmt.Sprintf("%s-%d", worker, count)); err != nil {
					r.mutex.Lock()
					r.failures = append(r.failures, err.Error())
					r.mutex.Unlock()
					return
				}
				r.ready.Add(1)
			}
		})
	}
	m.s.t.Cleanup(func() { r.stopped.Store(true); r.workers.Wait() })
	return r
}

// mount begins or ends that every second pod mounts a class.
func (r *readers) mount(mounts bool) {
	r.mountLock.Lock()
	defer r.mountLock.Unlock()
	r.mounts = mounts
}

func (r *readers) onePod(mayMount bool, name string) error {
	manifest := podManifest("shop", name, "app", "database",
		withEnvironment("DATABASE", "database", "password"), withEnvironment("QUEUE", "queue", "password"),
		withEnvironment("MAIL", "mail-account", "password"))
	if mayMount {
		r.mountLock.Lock()
		defer r.mountLock.Unlock()
	}
	mounts := mayMount && r.mounts
	if !mounts {
		manifest, _, _ = strings.Cut(manifest, "    volumeMounts:")
	}
	kubectl := r.m.s.cluster.Kubectl
	accepted := r.m.watch.accepts()
	if _, err := kubectl(manifest, "create", "--filename=-"); err != nil {
		return err
	}
	if _, err := kubectl("", "wait", "--for=condition=Ready", "--timeout="+patience.String(), "--namespace=shop", "pod/"+name); err != nil {
		return err
	}
	values, err := kubectl("", "exec", "--namespace=shop", name, "--", "sh", "-c", `printf %s "$DATABASE $QUEUE $MAIL"`)
	if err != nil {
		return err
	}
	accepted = append(slices.Clone(accepted), r.m.watch.accepts()...)
	for _, value := range strings.Split(values, " ") {
		if !slices.Contains(accepted, value) {
			return fmt.Errorf("pod %s reads %q, want values among %q", name, values, accepted)
		}
	}
	if mounts {
		r.mounted.Add(1)
	}
	_, err = kubectl("", "delete", "pod", name, "--namespace=shop", "--wait=false")
	return err
}

// atLeast waits until this many more pods have started from now on.
func (r *readers) atLeast(more int64) { r.m.s.t.Helper(); r.more(&r.ready, more) }

// atLeastMounting waits until this many more pods that mount a class have started.
func (r *readers) atLeastMounting(more int64) { r.m.s.t.Helper(); r.more(&r.mounted, more) }

func (r *readers) more(count *atomic.Int64, more int64) {
	r.m.s.t.Helper()
	wanted := count.Load() + more
	r.m.s.until(func() error {
		if ready := count.Load(); ready < wanted {
			return fmt.Errorf("%d pods have read the Secrets, want %d\n%s", ready, wanted, r.failed())
		}
		return nil
	})
}

// stop creates no more pods, and fails the scenario if one has not started at once with the right values.
func (r *readers) stop() {
	s := r.m.s
	s.t.Helper()
	r.stopped.Store(true)
	r.workers.Wait()
	if failed := r.failed(); failed != "" {
		s.t.Errorf("every pod must become ready with values of the Secrets:\n%s", failed)
	}
	// kubelet says so when a container waits for a Secret or a key.
	refused := s.kubectl("get", "events", "--namespace=shop", "--field-selector=reason=Failed",
		`--output=jsonpath={range .items[*]}{.involvedObject.name}: {.message}{"\n"}{end}`)
	if refused != "" {
		s.t.Errorf("no container may wait for a Secret:\n%s", refused)
	}
	s.t.Logf("%d pods have read the Secrets", r.ready.Load())
}

func (r *readers) failed() string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return strings.Join(r.failures, "\n")
}
