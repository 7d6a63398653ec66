package cluster

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// syncing16 is the driver 1.6.0, which makes Secrets and rotates them.
func syncing16() []installation {
	return []installation{standard(rotating, "secrets-store-csi-driver: {syncSecret: {enabled: true}}\n")}
}

// syncing15 is the driver 1.5.6, which makes Secrets and rotates them, with this provider beside it.
func syncing15() []installation {
	wanted := rotatingDriver15()
	wanted[0].values = append(wanted[0].values, "syncSecret: {enabled: true}\n")
	return wanted
}

func TestAVariableComesFromASecretThatTheDriverMakesAndDeletesAfterItsLastUser(t *testing.T) {
	values, err := os.ReadFile("../../examples/environment-variables/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	theGuideForVariables(begin(t, standard(string(values))))
}

func TestAVariableComesFromASecretOfTheDriver15(t *testing.T) {
	notCore(t)
	theGuideForVariables(begin(t, syncing15()...))
}

// theGuideForVariables is docs/recipes/environment-variables.md, with the manifests as they are.
func theGuideForVariables(s *scenario) {
	s.t.Helper()
	const secret = "database-password"
	s.namespace("default")
	s.applyFiles("examples/environment-variables/class.yaml", "examples/environment-variables/app.yaml")
	s.kubectl("rollout", "status", "deployment/myapp-env", "--timeout="+patience.String())
	if log, want := s.kubectl("logs", "deployment/myapp-env"), "a password of 28 characters\n"; log != want {
		s.t.Errorf("the pod logs %q, want %q", log, want)
	}
	s.secretHolds("default", secret, map[string]string{"password": "correct horse battery staple"})

	// The Secret belongs to the ReplicaSet: it stays when the Deployment has no pod, and goes with the Deployment.
	s.ownedBy("default", secret, "ReplicaSet")
	s.kubectl("scale", "deployment/myapp-env", "--replicas=0")
	s.kubectl("delete", "pods", "--selector=app=myapp-env", "--grace-period=1", "--timeout="+patience.String())
	s.ownedBy("default", secret, "ReplicaSet")
	s.secretHolds("default", secret, map[string]string{"password": "correct horse battery staple"})
	s.kubectl("delete", "deployment/myapp-env")
	s.secretGoes("default", secret)

	// The Secret of pods without an owner belongs to each of them, and goes with the last.
	variable := withEnvironment("DB_PASSWORD", secret, "password")
	first := s.startPod("default", "first", "workload-identity-sa", "database-password-env", variable)
	first.ready()
	last := s.startPod("default", "last", "workload-identity-sa", "database-password-env", variable)
	last.ready()
	const status = "SecretProviderClassPodStatus"
	s.ownedBy("default", secret, status, status)
	first.delete()
	s.ownedBy("default", secret, status)
	if got, want := last.exec("sh", "-c", `printf %s "$DB_PASSWORD"`), "correct horse battery staple"; got != want {
		s.t.Errorf("DB_PASSWORD in the pod is %q, want %q", got, want)
	}
	last.delete()
	s.secretGoes("default", secret)
}

// secretHolds checks the data of a Secret.
func (s *scenario) secretHolds(namespace, name string, want map[string]string) {
	s.t.Helper()
	got, err := s.secretData(namespace, name)
	if err != nil {
		s.t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Errorf("Secret %s/%s holds %v, want %v", namespace, name, got, want)
	}
}

// comesToHold waits until a Secret has this data.
func (s *scenario) comesToHold(namespace, name string, want map[string]string) {
	s.t.Helper()
	s.until(func() error {
		got, err := s.secretData(namespace, name)
		if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
			err = fmt.Errorf("Secret %s/%s holds %v, want %v", namespace, name, got, want)
		}
		return err
	})
}

// ownedBy waits until objects of exactly these kinds own a Secret. The driver sets the owners within five seconds.
func (s *scenario) ownedBy(namespace, name string, kinds ...string) {
	s.t.Helper()
	s.until(func() error {
		got := s.kubectl("get", "secret", name, "--namespace="+namespace, "--output=jsonpath={.metadata.ownerReferences[*].kind}")
		if want := strings.Join(kinds, " "); got != want {
			return fmt.Errorf("Secret %s/%s is owned by %q, want %q", namespace, name, got, want)
		}
		return nil
	})
}

// secretGoes waits until a Secret is deleted.
func (s *scenario) secretGoes(namespace, name string) {
	s.t.Helper()
	s.kubectl("wait", "--for=delete", "secret/"+name, "--namespace="+namespace, "--timeout="+patience.String())
}
