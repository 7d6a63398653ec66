package driver

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mntExpire is MNT_EXPIRE of umount2(2), which package syscall does not name.
const mntExpire = 4

// volume is a pod's volume: a tmpfs at a path of kubelet's shape.
type volume struct {
	target  string
	mounted bool
}

// newVolume mounts a tmpfs as the driver does before it calls a provider.
func newVolume(t *testing.T, pod pod) *volume {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("these tests mount a tmpfs as the driver does: run them as root")
	}
	target := filepath.Join(t.TempDir(), "pods", pod.uid, "volumes", "kubernetes.io~csi", "secrets-store", "mount")
	if err := os.MkdirAll(target, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", target, "tmpfs", 0, ""); err != nil {
		t.Fatalf("cannot mount a tmpfs on %s: %v", target, err)
	}
	v := &volume{target: target, mounted: true}
	t.Cleanup(func() {
		if v.mounted {
			_ = syscall.Unmount(target, syscall.MNT_DETACH)
		}
	})
	return v
}

// mustBeFree fails if a process holds a file below the target open; it does not unmount. The kernel
// answers MNT_EXPIRE with EBUSY in that case, and with EAGAIN the first time otherwise.
func (v *volume) mustBeFree(t *testing.T) {
	t.Helper()
	if err := syscall.Unmount(v.target, mntExpire); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("the volume is in use after the provider's answer: %v", err)
	}
}

// unmount unmounts the volume as the driver does: once, neither lazy nor forced.
func (v *volume) unmount(t *testing.T) {
	t.Helper()
	if err := syscall.Unmount(v.target, 0); err != nil {
		t.Errorf("cannot unmount right after the provider's answer: %v", err)
		return
	}
	v.mounted = false
}

// mustHold fails unless the volume has exactly these files, with these contents, mode 0644, each behind ..data.
func (v *volume) mustHold(t *testing.T, want map[string]string) {
	t.Helper()
	if got, want := v.names(t), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
		t.Errorf("the volume shows the files %q, want %q", got, want)
	}
	for name, contents := range want {
		file := filepath.Join(v.target, name)
		got, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if string(got) != contents {
			t.Errorf("%s holds %q, want %q", name, got, contents)
		}
		if status, err := os.Stat(file); err != nil || status.Mode() != 0o644 {
			t.Errorf("%s has mode %v (%v), want a regular file of 0644", name, status.Mode(), err)
		}
		if link, err := os.Readlink(file); err != nil || link != filepath.Join("..data", name) {
			t.Errorf("%s is a link to %q (%v), want ..data/%[1]s", name, link, err)
		}
	}
}

// mustBeEmpty fails if the volume has any entry, even a hidden one.
func (v *volume) mustBeEmpty(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(v.target)
	if err != nil || len(entries) > 0 {
		t.Errorf("the volume holds %v (%v), want nothing", entries, err)
	}
}

// names are the files that an application sees.
func (v *volume) names(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(v.target)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), "..") {
			names = append(names, entry.Name())
		}
	}
	return names
}

// generation identifies one writing of the volume: where ..data points, and when the target
// directory changed, which is what the v1.6 driver throttles rotation by.
type generation struct {
	data     string
	modified time.Time
}

func (v *volume) generation(t *testing.T) generation {
	t.Helper()
	data, err := os.Readlink(filepath.Join(v.target, "..data"))
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.Stat(v.target)
	if err != nil {
		t.Fatal(err)
	}
	return generation{data, status.ModTime()}
}
