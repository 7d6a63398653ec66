package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const containerdSocket = state + "/containerd.sock"

// Without AppArmor and without lower OOM scores, which a container of its own may not have.
const containerdConfiguration = `version = 2
root = "%[1]s/containerd"
state = "%[1]s/containerd-state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "%[2]s"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%[3]s"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "%[1]s/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`

const podNetwork = `{
  "cniVersion": "1.0.0", "name": "pods",
  "plugins": [
    {"type": "bridge", "bridge": "pods", "isGateway": true, "ipMasq": false, "hairpinMode": true,
     "ipam": {"type": "host-local", "dataDir": "%[1]s/cni-addresses", "ranges": [[{"subnet": "%[2]s", "gateway": "%[3]s"}]],
              "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}`

func (n *Node) startContainerd() error {
	if err := os.MkdirAll(filepath.Join(state, "cni"), 0o755); err != nil {
		return err
	}
	configuration := filepath.Join(state, "containerd.toml")
	for path, text := range map[string]string{
		configuration: fmt.Sprintf(containerdConfiguration, state, containerdSocket, Pause),
		filepath.Join(state, "cni", "pods.conflist"): fmt.Sprintf(podNetwork, state, podRange, podGateway),
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if n.options.Containerd != "" {
		// containerd looks for its shim in the PATH.
		if err := os.Setenv("PATH", n.options.Containerd+":"+os.Getenv("PATH")); err != nil {
			return err
		}
	}
	if err := n.run("containerd", func() error { return n.ctr("version") },
		n.containerdProgram("containerd"), "--config="+configuration); err != nil {
		return err
	}
	for _, image := range n.options.Images {
		if err := n.ctr("images", "import", image); err != nil {
			return err
		}
	}
	return nil
}

// ctr runs containerd's own client in the namespace of Kubernetes.
func (n *Node) ctr(arguments ...string) error {
	return command(n.containerdProgram("ctr"), append([]string{"--address", containerdSocket, "--namespace", "k8s.io"}, arguments...)...)
}

// containerdProgram is the path of one of containerd's programs.
func (n *Node) containerdProgram(name string) string {
	if n.options.Containerd != "" {
		return filepath.Join(n.options.Containerd, name)
	}
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return name
}
