// Package node is a complete Kubernetes node on one machine: etcd, API server, controller manager, scheduler, kubelet and
// containerd, in namespaces of their own.
//
// tests/cluster/run makes the namespaces; this package fills them. It mounts and configures what it needs inside of
// them, so that nothing of it is left on the machine when the last process has ended, whatever ends it. The one
// exception are kubelet's cgroups, which tests/cluster/run removes.
package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Name is the name of the Node object.
const Name = "node"

// state holds all data of the cluster, in a tmpfs.
const state = "/run/keyvault-csi-cluster"

// Options say what the node is made of.
type Options struct {
	// Binaries is the folder with hyperkube.
	Binaries string
	// Containerd and its programs; empty: those of the machine.
	Containerd string
	// Logs is the folder for the log of each part.
	Logs string
	// CgroupRoot is the cgroup below which kubelet puts its own; it exists in every hierarchy.
	CgroupRoot string
	// Images are the docker archives to load. The container runtime needs the one named Pause.
	Images []string
}

// Pause is the name of the image of pod sandboxes.
const Pause = "localhost/pause:latest"

// Node is a running node.
type Node struct {
	options     Options
	credentials credentials
	parts       []*Process
	// StartedIn is how long it took until the node was ready.
	StartedIn time.Duration
}

// Start brings the node up, and returns when it is ready for pods. When it cannot, the error names the part that failed
// and shows the end of that part's log; the parts that run are stopped.
func Start(options Options) (*Node, error) {
	begin := time.Now()
	n := &Node{options: options}
	if err := n.start(); err != nil {
		n.Stop()
		return nil, err
	}
	n.StartedIn = time.Since(begin)
	return n, nil
}

func (n *Node) start() error {
	if err := setUpMachine(state); err != nil {
		return err
	}
	var err error
	if n.credentials, err = newCredentials(filepath.Join(state, "credentials")); err != nil {
		return err
	}
	// The container runtime loads the images while the control plane starts.
	images := make(chan error, 1)
	go func() { images <- n.startContainerd() }()
	control := n.startControlPlane()
	if err := <-images; err != nil {
		return err
	}
	if control != nil {
		return control
	}
	return n.startKubelet()
}

// Stop ends the parts at once: nothing of the cluster is kept. Pods that still run end with the namespaces.
func (n *Node) Stop() {
	for _, part := range n.parts {
		part.Kill()
	}
}

// Part is one of the node's processes by its name, such as kubelet.
func (n *Node) Part(name string) *Process {
	for _, part := range n.parts {
		if part.Name == name {
			return part
		}
	}
	panic("the node has no part " + name)
}

// WaitReady waits until a part answers again after it was started anew.
func (n *Node) WaitReady(name string) error {
	part := n.Part(name)
	switch name {
	case "kube-apiserver":
		return part.WaitUntil(n.ready("/readyz"))
	case "kubelet":
		return part.WaitUntil(n.nodeReady)
	}
	return fmt.Errorf("no readiness check for %s", name)
}

// Kubeconfig is the administrator's.
func (n *Node) Kubeconfig() string { return n.credentials.path("admin.kubeconfig") }

// Logs is the folder with the logs of the parts.
func (n *Node) Logs() string { return n.options.Logs }

// Kubectl runs kubectl as the administrator, with this text as its standard input.
func (n *Node) Kubectl(input string, arguments ...string) (string, error) {
	command := exec.Command(filepath.Join(n.options.Binaries, "hyperkube"), append([]string{"kubectl"}, arguments...)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+n.Kubeconfig(), "HOME="+state)
	if input != "" {
		command.Stdin = strings.NewReader(input)
	}
	var errors strings.Builder
	command.Stderr = &errors
	output, err := command.Output()
	if err != nil {
		return string(output), fmt.Errorf("kubectl %s: %w\n%s", strings.Join(arguments, " "), err, errors.String())
	}
	return string(output), nil
}

// run starts a part of the node and waits until it is ready.
func (n *Node) run(name string, ready func() error, arguments ...string) error {
	part := &Process{Name: name, LogFile: filepath.Join(n.options.Logs, name+".log"), Command: arguments}
	if err := part.Start(); err != nil {
		return err
	}
	n.parts = append(n.parts, part)
	return part.WaitUntil(ready)
}

// component starts one of Kubernetes' own programs.
func (n *Node) component(name string, ready func() error, flags ...string) error {
	return n.run(name, ready, append([]string{filepath.Join(n.options.Binaries, "hyperkube"), name}, flags...)...)
}
