package cluster

import (
	"context"
	"crypto/sha3"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// What External Secrets Operator 0.20 calls its marks.
const (
	operatorFinalizer = "externalsecrets.external-secrets.io/externalsecret-cleanup"
	operatorManaged   = "reconcile.external-secrets.io/managed"
	operatorCreatedBy = "reconcile.external-secrets.io/created-by"
	operatorDataHash  = "reconcile.external-secrets.io/data-hash"
)

// operator stands in for External Secrets Operator 0.20: it makes, owns, refreshes, corrects and deletes Secrets as the
// operator does. It reconciles an ExternalSecret when that changes, when its Secret changes and has the operator's label,
// and when the refresh interval has passed. Values are read from the emulated Key Vault.
type operator struct {
	s         *scenario
	api       api
	namespace string
	queue     chan string
	mutex     sync.Mutex
	timers    map[string]*time.Timer
}

// startOperator runs the operator for one namespace until the scenario ends. Its CRDs are those of the operator's release.
func (s *scenario) startOperator(api api, namespace string) {
	s.t.Helper()
	for _, kind := range []string{"externalsecrets", "secretstores"} {
		s.kubectl("apply", "--server-side", "--filename="+environment("CLUSTER_CHARTS")+"/external-secrets/external-secrets.io_"+kind+".yaml")
		s.until(func() error {
			_, err := s.Kubectl("", "get", kind+".external-secrets.io", "--namespace="+namespace)
			return err
		})
	}
	o := &operator{s: s, api: api, namespace: namespace, queue: make(chan string, 1000), timers: map[string]*time.Timer{}}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		api.watch(ctx, s.t, o.externalSecrets("")+"?watch=true", func(e event) { o.queue <- e.Object.at("metadata").text("name") })
	})
	running.Go(func() { api.watch(ctx, s.t, o.secrets("")+"?watch=true", o.secretChanged) })
	running.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case name := <-o.queue:
				o.reconcileOrRetry(ctx, s.t, name)
			}
		}
	})
	s.t.Cleanup(func() {
		// While the operator runs: it removes its finalizer.
		s.kubectl("delete", "externalsecrets", "--all", "--namespace="+namespace, "--timeout="+patience.String())
		cancel()
		running.Wait()
		s.kubectl("delete", "crd", "externalsecrets.external-secrets.io", "secretstores.external-secrets.io")
	})
}

func (o *operator) externalSecrets(name string) string {
	return "/apis/external-secrets.io/v1/namespaces/" + o.namespace + "/externalsecrets" + slash(name)
}

func (o *operator) secrets(name string) string {
	return "/api/v1/namespaces/" + o.namespace + "/secrets" + slash(name)
}

func slash(name string) string {
	if name == "" {
		return ""
	}
	return "/" + name
}

// secretChanged queues the ExternalSecrets of a Secret, if the Secret has the operator's label.
func (o *operator) secretChanged(e event) {
	if e.Object.at("metadata").at("labels").text(operatorManaged) != "true" {
		return
	}
	list, err := o.api.get(o.externalSecrets(""))
	if err != nil {
		return
	}
	items, _ := list["items"].([]any)
	for _, item := range items {
		es := object(item.(map[string]any))
		if target(es) == e.Object.at("metadata").text("name") {
			o.queue <- es.at("metadata").text("name")
		}
	}
}

// target is the name of the Secret that an ExternalSecret makes.
func target(es object) string {
	if name := es.at("spec").at("target").text("name"); name != "" {
		return name
	}
	return es.at("metadata").text("name")
}

// reconcileOrRetry repeats a reconciliation that another client's change has stopped.
func (o *operator) reconcileOrRetry(ctx context.Context, t *testing.T, name string) {
	err := o.reconcile(t, name)
	if isStatus(err, http.StatusConflict) || isStatus(err, http.StatusNotFound) {
		o.later(name, 100*time.Millisecond)
	} else if err != nil && ctx.Err() == nil {
		t.Errorf("the operator cannot reconcile ExternalSecret %s: %v", name, err)
	}
}

// later queues an ExternalSecret after some time, instead of what was planned for it before.
func (o *operator) later(name string, after time.Duration) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if timer := o.timers[name]; timer != nil {
		timer.Stop()
	}
	o.timers[name] = time.AfterFunc(after, func() { o.queue <- name })
}

func (o *operator) reconcile(t *testing.T, name string) error {
	es, err := o.api.get(o.externalSecrets(name))
	if err != nil || es == nil {
		return err
	}
	secret, err := o.api.get(o.secrets(target(es)))
	if err != nil {
		return err
	}
	if es.at("metadata")["deletionTimestamp"] != nil {
		return o.cleanUp(es, secret)
	}
	if finalizers := finalizersOf(es); !slices.Contains(finalizers, any(operatorFinalizer)) {
		es.at("metadata")["finalizers"] = append(finalizers, operatorFinalizer)
		return o.api.write(http.MethodPut, o.externalSecrets(name), es)
	}
	if secret != nil && secret.at("metadata").at("labels").text(operatorManaged) != "true" {
		secret.at("metadata").at("labels")[operatorManaged] = "true"
		return o.api.write(http.MethodPut, o.secrets(target(es)), secret)
	}
	due, interval := refreshDue(es)
	if due > 0 && valid(es, secret) {
		o.later(name, due)
		return nil
	}
	if err := o.apply(t, es, secret); err != nil {
		return err
	}
	o.later(name, interval)
	return o.setReady(es)
}

// cleanUp ends an ExternalSecret that is being deleted. With the policy Delete its Secret is deleted, if it is its own.
func (o *operator) cleanUp(es, secret object) error {
	if es.at("spec").at("target").text("deletionPolicy") == "Delete" && secret != nil && controlledBy(secret, es) {
		if _, err := o.api.send(http.MethodDelete, o.secrets(target(es)), "", nil); err != nil {
			return err
		}
	}
	finalizers := finalizersOf(es)
	index := slices.Index(finalizers, any(operatorFinalizer))
	if index < 0 {
		return nil
	}
	es.at("metadata")["finalizers"] = slices.Delete(finalizers, index, index+1)
	return o.api.write(http.MethodPut, o.externalSecrets(es.at("metadata").text("name")), es)
}

func finalizersOf(es object) []any {
	finalizers, _ := es.at("metadata")["finalizers"].([]any)
	return finalizers
}

func controlledBy(secret, es object) bool {
	return slices.ContainsFunc(secret.owners(), func(owner object) bool {
		return owner["controller"] == true && owner.text("uid") == es.at("metadata").text("uid")
	})
}

// refreshDue is how long an ExternalSecret is not to be refreshed, and its interval.
func refreshDue(es object) (due, interval time.Duration) {
	interval, _ = time.ParseDuration(es.at("spec").text("refreshInterval"))
	refreshed, err := time.Parse(time.RFC3339, es.at("status").text("refreshTime"))
	if err != nil || es.at("status").text("syncedResourceVersion") != fmt.Sprint(es.at("metadata")["generation"]) {
		return 0, interval
	}
	return time.Until(refreshed.Add(interval)), interval
}

// valid reports whether a Secret is as the operator has left it.
func valid(es, secret object) bool {
	if es.at("spec").at("target").text("creationPolicy") == "Orphan" {
		return true
	}
	return secret != nil && secret.at("metadata").at("annotations").text(operatorDataHash) == dataHash(secret)
}

func dataHash(secret object) string {
	return fmt.Sprintf("%x", sha3.Sum224(fmt.Appendf(nil, "%+v", secret.texts())))
}

// apply writes the Secret: data, the operator's marks, and with the policy Owner the owner.
func (o *operator) apply(t *testing.T, es, secret object) error {
	name, method, path := target(es), http.MethodPut, o.secrets(target(es))
	if secret == nil {
		secret = object{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name, "namespace": o.namespace}}
		method, path = http.MethodPost, o.secrets("")
	}
	owner := es.at("spec").at("target").text("creationPolicy") == "Owner"
	metadata, labels := secret.at("metadata"), secret.at("metadata").at("labels")
	switch {
	case owner && !controlledBy(secret, es):
		metadata["ownerReferences"] = append(anyOf(secret.owners()), map[string]any{
			"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "controller": true, "blockOwnerDeletion": true,
			"name": es.at("metadata").text("name"), "uid": es.at("metadata").text("uid"),
		})
	case !owner && controlledBy(secret, es):
		metadata["ownerReferences"] = anyOf(slices.DeleteFunc(secret.owners(), func(owner object) bool {
			return owner.text("uid") == es.at("metadata").text("uid")
		}))
	}
	data := map[string]any{}
	items, _ := es.at("spec")["data"].([]any)
	for _, item := range items {
		item := object(item.(map[string]any))
		value := o.s.azure.secret(t, o.namespace, item.at("remoteRef").text("key"))
		data[item.text("secretKey")] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	secret["data"] = data
	delete(labels, operatorCreatedBy)
	if owner {
		labels[operatorCreatedBy] = fmt.Sprintf("%x", sha3.Sum224([]byte(o.namespace+"/"+es.at("metadata").text("name"))))
	}
	labels[operatorManaged] = "true"
	metadata.at("annotations")[operatorDataHash] = dataHash(secret)
	return o.api.write(method, path, secret)
}

func anyOf(objects []object) []any {
	list := make([]any, 0, len(objects))
	for _, o := range objects {
		list = append(list, map[string]any(o))
	}
	return list
}

// setReady records in the status that the ExternalSecret is refreshed.
func (o *operator) setReady(es object) error {
	now := time.Now().UTC().Format(time.RFC3339)
	es["status"] = map[string]any{
		"refreshTime": now, "syncedResourceVersion": fmt.Sprint(es.at("metadata")["generation"]),
		"conditions": []any{map[string]any{"type": "Ready", "status": "True", "reason": "SecretSynced", "message": "secret synced",
			"lastTransitionTime": now}},
	}
	return o.api.write(http.MethodPut, o.externalSecrets(es.at("metadata").text("name"))+"/status", es)
}
