package node

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Addresses of the node and of its cluster, inside the network namespace.
const (
	Address = "192.168.77.2"
	// gateway answers nothing: the default route only makes the programs take Address as the node's.
	gateway        = "192.168.77.1"
	ServiceAddress = "10.96.0.1"
	serviceRange   = "10.96.0.0/16"
	// MetadataAddress is where a node of Azure asks for its identity's tokens.
	MetadataAddress = "169.254.169.254"
	podRange        = "10.244.0.0/16"
	podGateway      = "10.244.0.1"
)

// KubeletRoot is where the charts of the driver and of the provider expect kubelet's folder.
const KubeletRoot = "/var/lib/kubelet"

// covered are the folders that the node writes to, besides /run. An overlay over each keeps the writes out of the
// machine's own folders, and they vanish with the mount namespace.
var covered = []string{"/etc", "/var/lib", "/var/log"}

// isolated fails unless this process has process and network namespaces of its own, so that what follows cannot change the
// machine. tests/cluster/run makes them together with the mount namespace.
func isolated() error {
	first, err := os.ReadFile("/proc/1/comm")
	if err != nil {
		return err
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && !network.IP.IsLoopback() {
			return fmt.Errorf("this network namespace has the address %s: start the node with tests/cluster/run", address)
		}
	}
	if name := strings.TrimSpace(string(first)); name != "tini" {
		return fmt.Errorf("the first process of this process namespace is %s: start the node with tests/cluster/run", name)
	}
	return nil
}

// setUpMachine makes the folders, mounts and addresses that the parts of the node need.
func setUpMachine(state string) error {
	if err := isolated(); err != nil {
		return err
	}
	// Everything that is written while the node runs is in this tmpfs.
	if err := syscall.Mount("node", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount a tmpfs on /run: %w", err)
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return err
	}
	for _, folder := range covered {
		if err := overlay(folder, filepath.Join(state, "overlay", filepath.Base(folder))); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(KubeletRoot, 0o755); err != nil {
		return err
	}
	// kubelet's folder must be a mount whose mounts reach the containers, and theirs it.
	if err := syscall.Mount("kubelet", KubeletRoot, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount a tmpfs on %s: %w", KubeletRoot, err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_SHARED|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("share the mounts below /: %w", err)
	}
	return setUpNetwork()
}

func overlay(folder, layers string) error {
	upper, work := filepath.Join(layers, "upper"), filepath.Join(layers, "work")
	for _, layer := range []string{upper, work} {
		if err := os.MkdirAll(layer, 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", folder, upper, work)
	if err := syscall.Mount("overlay", folder, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount an overlay on %s: %w", folder, err)
	}
	return nil
}

func setUpNetwork() error {
	for _, arguments := range [][]string{
		{"link", "set", "lo", "up"},
		{"address", "add", ServiceAddress + "/32", "dev", "lo"},
		{"address", "add", MetadataAddress + "/32", "dev", "lo"},
		{"link", "add", "node", "type", "veth", "peer", "name", "outside"},
		{"address", "add", Address + "/24", "dev", "node"},
		{"link", "set", "node", "up"},
		{"link", "set", "outside", "up"},
		{"route", "add", "default", "via", gateway},
	} {
		if err := command("ip", arguments...); err != nil {
			return err
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}
