// Package cluster runs this provider on a real Kubernetes node. Each test is a scenario, and its name is the promise
// that it checks. tests/cluster/run builds what they need and starts them.
package cluster

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"keyvault-csi-provider.test/cluster/node"
)

// the is the node that the scenarios share.
var the *cluster

// cluster is a running node with the emulated Azure beside it.
type cluster struct {
	*node.Node
	azure *azure
	// installed is the release of Helm that is there now.
	installed string
	helm      string
	charts    string
	version   string
	logs      *podLogs
}

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.list").Value.String() != "" {
		os.Exit(m.Run())
	}
	os.Exit(run(m))
}

func run(m *testing.M) (status int) {
	c, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	the = c
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		received := <-stopped
		fmt.Fprintf(os.Stderr, "%s: stopping the node\n", received)
		c.stop()
		os.Exit(128 + int(received.(syscall.Signal)))
	}()
	defer c.stop()
	fmt.Printf("Kubernetes %s is ready after %.1f s\n", c.version, c.StartedIn.Seconds())
	if os.Getenv("CLUSTER_SHELL") != "" {
		return shell(c)
	}
	return m.Run()
}

// start brings up the node and the emulated Azure, whose Entra trusts the tokens of this cluster.
func start() (*cluster, error) {
	charts := environment("CLUSTER_CHARTS")
	c := &cluster{helm: environment("HELM"), charts: charts}
	images, err := writeImages(c)
	if err != nil {
		return nil, err
	}
	c.Node, err = node.Start(node.Options{
		Binaries:   environment("CLUSTER_KUBERNETES"),
		Containerd: os.Getenv("CLUSTER_CONTAINERD"),
		Logs:       environment("CLUSTER_LOGS"),
		CgroupRoot: environment("CLUSTER_CGROUP"),
		Images:     images,
	})
	if err != nil {
		return nil, err
	}
	version, err := c.Kubectl("", "version", "--output=json")
	if err == nil {
		c.version = gitVersion(version)
		c.azure, err = startAzure(c)
	}
	if err != nil {
		c.Stop()
		return nil, err
	}
	c.logs = keepPodLogs(filepath.Join(c.Logs(), "pods"))
	return c, c.installKubectl()
}

// programs is the folder with the kubectl of this node, inside its namespaces.
const programs = "/run/programs"

func (c *cluster) installKubectl() error {
	if err := os.MkdirAll(programs, 0o755); err != nil {
		return err
	}
	script := fmt.Sprintf("#!/bin/sh\nexec %s/hyperkube kubectl \"$@\"\n", environment("CLUSTER_KUBERNETES"))
	return os.WriteFile(filepath.Join(programs, "kubectl"), []byte(script), 0o755)
}

// userEnvironment is the environment of a user of this node: kubectl and helm are in the PATH, and find the cluster.
func (c *cluster) userEnvironment() []string {
	return append(os.Environ(), "KUBECONFIG="+c.Kubeconfig(),
		"PATH="+programs+":"+filepath.Dir(c.helm)+":"+os.Getenv("PATH"))
}

func (c *cluster) stop() {
	c.logs.stop()
	c.azure.process.Kill()
	c.Stop()
}

// shell gives the user a shell with kubectl and helm for this node.
func shell(c *cluster) int {
	if err := c.install(standard()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Printf(`
Driver and provider are installed in kube-system, and an emulated Azure is at %s.
In this shell:    kubectl get pods --all-namespaces
                  helm list --all-namespaces
                  curl %s/requests      counts of requests to the emulated Azure
In another shell: nsenter --target %s --all, then export KUBECONFIG=%s
The logs of the node's parts are in %s. Leave the shell to stop the node.

`, c.azure.proxy(), c.azure.admin(), hostPID(), c.Kubeconfig(), c.Logs())
	command := exec.Command("bash", "--norc", "-i")
	command.Env = append(c.userEnvironment(), "PS1=node# ")
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	_ = command.Run()
	return 0
}

// hostPID is how the machine outside finds a process in the node's namespaces.
func hostPID() string {
	return "$(pgrep --newest --full cluster.test)"
}

// environment is a variable that tests/cluster/run sets.
func environment(name string) string {
	value := os.Getenv(name)
	if value == "" {
		fmt.Fprintf(os.Stderr, "%s is not set: start the scenarios with tests/cluster/run\n", name)
		os.Exit(2)
	}
	return value
}

// gitVersion is the server's version out of what `kubectl version` prints as JSON.
func gitVersion(text string) string {
	_, server, _ := strings.Cut(text, "serverVersion")
	_, version, _ := strings.Cut(server, `"gitVersion": "`)
	version, _, _ = strings.Cut(version, `"`)
	return strings.TrimPrefix(version, "v")
}
