package peer

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for a program: debug builds start in a fraction of it.
const patience = 30 * time.Second

// program is a running process. The test that started it ends it.
type program struct {
	name    string
	command *exec.Cmd
	output  output
	ended   chan struct{}
}

// binary is the path in the environment variable.
func binary(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set: it must name the program, as README.md says", variable)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s names no program: %v", variable, err)
	}
	return path
}

// start runs the program with this environment and no other. It ends with the test, even if that is killed: the kernel
// kills it when the thread that started it is gone, which waits for it here.
func start(name, path string, environment []string, arguments ...string) (*program, error) {
	p := &program{name: name, command: exec.Command(path, arguments...), ended: make(chan struct{})}
	p.command.Env = environment
	p.command.Stdout, p.command.Stderr = &p.output, &p.output
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer close(p.ended)
		err := p.command.Start()
		started <- err
		if err == nil {
			_ = p.command.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s does not start: %w", name, err)
	}
	return p, nil
}

// stop asks the program to end and waits for it.
func (p *program) stop(t *testing.T) {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.command.Process.Kill()
		t.Errorf("%s still runs %v after SIGTERM", p.name, patience)
	}
}

// hasEnded is whether the process is gone, which it may be a moment after its connection is.
func (p *program) hasEnded(within time.Duration) bool {
	select {
	case <-p.ended:
		return true
	case <-time.After(within):
		return false
	}
}

// waitUntil polls until the program is ready.
func (p *program) waitUntil(ready func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		if p.hasEnded(10 * time.Millisecond) {
			return fmt.Errorf("%s ended before it was ready:\n%s", p.name, p.output.String())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %v: %w\n%s", p.name, patience, err, p.output.String())
		}
	}
}

// freePort is a port that nothing listens on.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port), nil
}

// kept bounds how much of a program's output is held: its end is what tells why it failed.
const kept = 256 << 10

// output holds the end of what a program writes.
type output struct {
	mutex sync.Mutex
	bytes bytes.Buffer
}

func (o *output) Write(text []byte) (int, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.bytes.Len() > kept {
		o.bytes.Next(o.bytes.Len() - kept/2)
	}
	return o.bytes.Write(text)
}

func (o *output) String() string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return strings.TrimSpace(o.bytes.String())
}
