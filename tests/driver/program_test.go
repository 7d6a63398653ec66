package driver

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for a program: debug builds start in a fraction of it.
const patience = 30 * time.Second

// program is a process under test. It is stopped, and its end checked, when its test ends.
type program struct {
	name    string
	command *exec.Cmd
	output  output
	ended   chan struct{}
	err     error
}

// binary is the path in the environment variable.
func binary(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set: it must name the program to test, for example target/debug/%s",
			variable, strings.ReplaceAll(strings.ToLower(variable), "_", "-"))
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s names no program: %v", variable, err)
	}
	return path
}

// start runs the binary named by the environment variable, with only this environment.
func start(t *testing.T, variable string, environment []string, arguments ...string) *program {
	t.Helper()
	path := binary(t, variable)
	p := &program{name: variable, command: exec.Command(path, arguments...), ended: make(chan struct{})}
	p.command.Env = environment
	p.command.Stdout, p.command.Stderr = &p.output, &p.output
	if err := p.command.Start(); err != nil {
		t.Fatalf("%s does not start: %v", variable, err)
	}
	go func() {
		p.err = p.command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("%s said:\n%s", variable, p.output.String())
		}
	})
	return p
}

// stop sends SIGTERM to the program, and fails unless it exits in time with code 0.
func (p *program) stop(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
		t.Errorf("%s ended by itself: %v", p.name, p.command.ProcessState)
		return
	default:
	}
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("%s cannot be told to end: %v", p.name, err)
	}
	select {
	case <-p.ended:
		if p.err != nil {
			t.Errorf("%s after SIGTERM: %v, want exit code 0", p.name, p.err)
		}
	case <-time.After(patience):
		_ = p.command.Process.Kill()
		t.Errorf("%s still runs %v after SIGTERM", p.name, patience)
	}
}

// waitUntil polls until the program is ready; it gives up when that ends or takes too long.
func (p *program) waitUntil(t *testing.T, ready func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ready()
		if err == nil {
			return
		}
		select {
		case <-p.ended:
			t.Fatalf("%s ended before it was ready: %v", p.name, p.command.ProcessState)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready after %v: %v", p.name, patience, err)
		}
	}
}

// healthy reports whether the health path on this port answers with 200.
func healthy(port int) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/healthz", port))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/healthz answers %s", answer.Status)
	}
	return nil
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// output collects a program's output, and may be read concurrently.
type output struct {
	mutex sync.Mutex
	bytes bytes.Buffer
}

func (o *output) Write(bytes []byte) (int, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.bytes.Write(bytes)
}

func (o *output) String() string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.bytes.String()
}
