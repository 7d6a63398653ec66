package cluster

import (
	"fmt"
	"strings"
)

// pod is a pod of a scenario.
type pod struct {
	s               *scenario
	namespace, name string
}

func (s *scenario) pod(namespace, name string) pod { return pod{s, namespace, name} }

// startPod creates a pod that mounts a class at /secrets and sleeps. Options change it.
func (s *scenario) startPod(namespace, name, account, class string, options ...podOption) pod {
	s.t.Helper()
	s.apply(podManifest(namespace, name, account, class, options...))
	return s.pod(namespace, name)
}

// podOption changes the values of a pod's manifest.
type podOption func(*podValues)

type podValues struct {
	secretRef, environment, volumeAttributes string
}

// withSecretRef makes the volume name the Secret of a service principal.
func withSecretRef(secret string) podOption {
	return func(v *podValues) { v.secretRef = fmt.Sprintf("        nodePublishSecretRef: {name: %s}\n", secret) }
}

// withEnvironment sets a variable from a key of a Secret.
func withEnvironment(variable, secret, key string) podOption {
	return func(v *podValues) {
		v.environment += fmt.Sprintf("    - {name: %s, valueFrom: {secretKeyRef: {name: %s, key: %s}}}\n", variable, secret, key)
	}
}

func podManifest(namespace, name, account, class string, options ...podOption) string {
	values := podValues{}
	for _, option := range options {
		option(&values)
	}
	if values.environment != "" {
		values.environment = "    env:\n" + values.environment
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  serviceAccountName: %s
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: docker.io/library/busybox:1.37
    command: [sleep, "86400"]
%s    volumeMounts: [{name: secrets, mountPath: /secrets, readOnly: true}]
  volumes:
  - name: secrets
    csi:
      driver: secrets-store.csi.k8s.io
      readOnly: true
      volumeAttributes: {secretProviderClass: %s}
%s`, name, namespace, account, values.environment, class, strings.TrimPrefix(values.secretRef, "  "))
}

// ready waits until the pod is ready.
func (p pod) ready() {
	p.s.t.Helper()
	p.s.kubectl("wait", "--for=condition=Ready", "--timeout="+patience.String(), "--namespace="+p.namespace, "pod/"+p.name)
}

// exec runs a command in the pod and returns what it prints.
func (p pod) exec(command ...string) string {
	p.s.t.Helper()
	return p.s.kubectl(append([]string{"exec", "--namespace=" + p.namespace, p.name, "--"}, command...)...)
}

// reads checks that a file in the pod holds this text now.
func (p pod) reads(file, text string) {
	p.s.t.Helper()
	if got := p.exec("cat", file); got != text {
		p.s.t.Errorf("%s in pod %s holds %q, want %q", file, p.name, got, text)
	}
}

// comesToRead waits until a file in the pod holds this text.
func (p pod) comesToRead(file, text string) {
	p.s.t.Helper()
	p.s.until(func() error {
		if got := p.exec("cat", file); got != text {
			return fmt.Errorf("%s in pod %s holds %q, want %q", file, p.name, got, text)
		}
		return nil
	})
}

// fails waits until the pod's events hold each of these texts, as `kubectl describe pod` shows them, and checks that
// the pod has not started.
func (p pod) fails(texts ...string) {
	p.s.t.Helper()
	p.s.until(func() error {
		description := p.s.kubectl("describe", "pod", p.name, "--namespace="+p.namespace)
		for _, text := range texts {
			if !strings.Contains(description, text) {
				return fmt.Errorf("kubectl describe pod %s does not say %q:\n%s", p.name, text, description)
			}
		}
		return nil
	})
	phase := p.s.kubectl("get", "pod", p.name, "--namespace="+p.namespace, "--output=jsonpath={.status.phase}")
	if phase != "Pending" {
		p.s.t.Errorf("pod %s is %s although its mount failed", p.name, phase)
	}
}

// delete deletes the pod and waits until it is gone.
func (p pod) delete() {
	p.s.t.Helper()
	p.s.kubectl("delete", "pod", p.name, "--namespace="+p.namespace, "--timeout="+patience.String())
}
