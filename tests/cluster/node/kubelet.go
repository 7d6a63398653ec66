package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// kubeletConfiguration differs from kubelet's defaults in what this machine cannot do (cgroups of systemd, version 2 of
// cgroups, swap accounting), in the number of pods, and in syncFrequency: a volume is republished when its pod is
// synchronized, and tests do not want to wait for a minute.
const kubeletConfiguration = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
cgroupRoot: %[1]s
failSwapOn: false
failCgroupV1: false
enforceNodeAllocatable: []
localStorageCapacityIsolation: false
containerRuntimeEndpoint: unix://%[2]s
resolvConf: %[3]s
maxPods: 250
podPidsLimit: -1
syncFrequency: 5s
serializeImagePulls: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: "0%%", nodefs.inodesFree: "0%%", imagefs.available: "0%%"}
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[4]s}
authorization: {mode: Webhook}
clusterDomain: cluster.local
volumePluginDir: %[5]s
healthzBindAddress: 127.0.0.1
registerNode: true
`

func (n *Node) startKubelet() error {
	resolver := filepath.Join(state, "resolv.conf")
	// Nothing answers there: names outside of the cluster are the business of the emulator's proxy.
	if err := os.WriteFile(resolver, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		return err
	}
	configuration := fmt.Sprintf(kubeletConfiguration, n.options.CgroupRoot, containerdSocket, resolver,
		n.credentials.path("ca.pem"), filepath.Join(state, "volume-plugins"))
	file := filepath.Join(state, "kubelet.yaml")
	if err := os.WriteFile(file, []byte(configuration), 0o644); err != nil {
		return err
	}
	return n.component("kubelet", n.nodeReady,
		"--config="+file, "--kubeconfig="+n.credentials.path("kubelet.kubeconfig"), "--root-dir="+KubeletRoot,
		"--hostname-override="+Name, "--node-ip="+Address, "--v=1")
}

// nodeReady checks that kubelet answers, and that the API server takes the node for ready and lets pods on it.
func (n *Node) nodeReady() error {
	if err := answers("http://127.0.0.1:10248/healthz")(); err != nil {
		return err
	}
	status, err := n.Kubectl("", "get", "node", Name, "--output",
		`jsonpath={.status.conditions[?(@.type=="Ready")].status} {.spec.taints[*].key}`)
	if err != nil {
		return err
	}
	if strings.TrimSpace(status) != "True" {
		return fmt.Errorf("the node is not ready: %s", status)
	}
	return nil
}
