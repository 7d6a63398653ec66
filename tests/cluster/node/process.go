package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// startTimeout bounds the wait for one part of the node; on an idle machine each needs a few seconds.
	startTimeout = 90 * time.Second
	pollInterval = 50 * time.Millisecond
	// logTail is how much of a log is printed where a part fails, in lines.
	logTail = 30
)

// Process is a part of the node that runs as a process of its own.
type Process struct {
	Name    string
	LogFile string
	// Command starts it; the first element is the program.
	Command []string

	process *os.Process
	ended   chan struct{}
	state   string
}

// Start runs the process. Its output is appended to its log file.
func (p *Process) Start() error {
	if err := os.MkdirAll(filepath.Dir(p.LogFile), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(p.Command[0], p.Command[1:]...)
	command.Stdout, command.Stderr = log, log
	// Ctrl-C is for the harness, which stops the parts in order.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	ended := make(chan struct{})
	p.process, p.ended = command.Process, ended
	go func() {
		_ = command.Wait()
		p.state = command.ProcessState.String()
		close(ended)
	}()
	return nil
}

// WaitUntil polls until the check succeeds. It fails when the process ends or the time is over, and the error then
// holds the end of the log.
func (p *Process) WaitUntil(check func() error) error {
	deadline := time.Now().Add(startTimeout)
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return p.failure(fmt.Errorf("ended before it was ready (%s)", p.state))
		case <-time.After(pollInterval):
		}
		if time.Now().After(deadline) {
			return p.failure(fmt.Errorf("not ready after %s: %w", startTimeout, err))
		}
	}
}

// Kill ends the process with SIGKILL and waits for its end.
func (p *Process) Kill() {
	if p.process == nil {
		return
	}
	_ = p.process.Kill()
	<-p.ended
}

func (p *Process) failure(err error) error {
	return fmt.Errorf("%s: %w\n--- end of %s ---\n%s", p.Name, err, p.LogFile, Tail(p.LogFile, logTail))
}

// Tail is the last lines of a file.
func Tail(file string, lines int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// command runs a program to its end; the error holds what it printed.
func command(name string, arguments ...string) error {
	output, err := exec.Command(name, arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(arguments, " "), err, output)
	}
	return nil
}
