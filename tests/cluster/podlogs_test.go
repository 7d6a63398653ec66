package cluster

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// providerPods matches the logs of this provider's containers, whatever the release is called.
var providerPods = regexp.MustCompile(`^kube-system_[^_]*_[^_]*_provider-azure-installer_`)

// podLogs keeps the logs of all containers: kubelet deletes them with the pod.
type podLogs struct {
	folder string
	ended  chan struct{}
	done   sync.WaitGroup
}

// logMark is a point in the logs: the number of bytes of each file.
type logMark map[string]int64

// keepPodLogs links each container's log into the folder as soon as it is there.
func keepPodLogs(copies string) *podLogs {
	l := &podLogs{folder: "/var/log/kept", ended: make(chan struct{})}
	l.done.Go(func() {
		for {
			l.link()
			select {
			case <-l.ended:
				l.link()
				_ = os.CopyFS(copies, os.DirFS(l.folder))
				return
			case <-time.After(interval):
			}
		}
	})
	return l
}

// stop copies the logs to where they outlive the node.
func (l *podLogs) stop() {
	close(l.ended)
	l.done.Wait()
}

// link gives each log a second name, <namespace>_<pod>_<uid>_<container>_<restart>.log.
func (l *podLogs) link() {
	_ = os.MkdirAll(l.folder, 0o755)
	files, _ := filepath.Glob("/var/log/pods/*/*/*.log")
	for _, file := range files {
		container, pod := filepath.Base(filepath.Dir(file)), filepath.Base(filepath.Dir(filepath.Dir(file)))
		// A log that is there already is the same file.
		_ = os.Link(file, filepath.Join(l.folder, pod+"_"+container+"_"+filepath.Base(file)))
	}
}

// mark is the present end of the logs.
func (l *podLogs) mark() logMark {
	l.link()
	mark := logMark{}
	files, _ := os.ReadDir(l.folder)
	for _, file := range files {
		if information, err := file.Info(); err == nil {
			mark[file.Name()] = information.Size()
		}
	}
	return mark
}

// since is what the pods have logged after the mark, without the timestamps of the container runtime.
func (l *podLogs) since(mark logMark, pods *regexp.Regexp) []string {
	l.link()
	var lines []string
	files, _ := os.ReadDir(l.folder)
	for _, file := range files {
		if !pods.MatchString(file.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(l.folder, file.Name()))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text[min(mark[file.Name()], int64(len(text))):])) {
			// 2026-01-02T15:04:05.999999999Z stderr F <line>
			if fields := strings.SplitN(strings.TrimSpace(line), " ", 4); len(fields) == 4 {
				lines = append(lines, fields[3])
			}
		}
	}
	return lines
}
