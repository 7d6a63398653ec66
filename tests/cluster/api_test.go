package cluster

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"keyvault-csi-provider.test/cluster/node"
)

const apiAddress = "127.0.0.1:28001"

// api is the API server for what kubectl cannot do: every event of a watch, and updates that fail on a conflict.
type api struct{ client *http.Client }

// object is a Kubernetes object with all its fields.
type object map[string]any

// startAPI serves the API server without credentials, until the scenario ends.
func (s *scenario) startAPI() api {
	s.t.Helper()
	proxy := &node.Process{
		Name: "kubectl-proxy", LogFile: filepath.Join(s.Logs(), "kubectl-proxy.log"),
		Command: []string{filepath.Join(environment("CLUSTER_KUBERNETES"), "hyperkube"), "kubectl", "proxy",
			"--kubeconfig=" + s.Kubeconfig(), "--port=28001"},
	}
	if err := proxy.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(proxy.Kill)
	a := api{&http.Client{}}
	if err := proxy.WaitUntil(func() error { _, err := a.send(http.MethodGet, "/readyz", "", nil); return err }); err != nil {
		s.t.Fatal(err)
	}
	return a
}

// statusError is an answer of the API server other than success.
type statusError struct {
	code int
	text string
}

func (e statusError) Error() string { return fmt.Sprintf("status %d: %s", e.code, e.text) }

func isStatus(err error, code int) bool {
	status, is := err.(statusError)
	return is && status.code == code
}

func (a api) send(method, path, contentType string, body []byte) ([]byte, error) {
	request, err := http.NewRequest(method, "http://"+apiAddress+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	answer, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = statusError{answer.StatusCode, string(text)}
	}
	return text, err
}

// get reads an object; nil if there is none.
func (a api) get(path string) (object, error) {
	text, err := a.send(http.MethodGet, path, "", nil)
	if isStatus(err, http.StatusNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var o object
	return o, json.Unmarshal(text, &o)
}

// write sends an object; with PUT the API server refuses it if another client has changed it since it was read.
func (a api) write(method, path string, o object) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = a.send(method, path, "application/json", text)
	return err
}

// event is a change that a watch reports.
type event struct {
	Type   string
	Object object
}

// watch calls back for each object that is there, and then for every change, until the context ends.
func (a api) watch(ctx context.Context, t *testing.T, path string, changed func(event)) {
	var answer *http.Response
	// A new kind of objects is served a moment after it is established.
	if err := waitFor(patience, func() (err error) { answer, err = a.stream(ctx, path); return err }); err != nil {
		t.Errorf("watch %s: %v", path, err)
		return
	}
	defer answer.Body.Close()
	decoder := json.NewDecoder(answer.Body)
	for {
		var next event
		if err := decoder.Decode(&next); err != nil {
			if ctx.Err() == nil {
				t.Errorf("the watch of %s ends: %v", path, err)
			}
			return
		}
		if next.Type == "ERROR" {
			t.Errorf("the watch of %s ends: %v", path, next.Object)
			return
		}
		changed(next)
	}
}

func (a api) stream(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+apiAddress+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := a.client.Do(request)
	if err == nil && answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		err = statusError{code: answer.StatusCode}
	}
	return answer, err
}

// at is the object below a field, which is created if it is not there.
func (o object) at(field string) object {
	if inner, is := o[field].(map[string]any); is {
		return inner
	}
	inner := map[string]any{}
	o[field] = inner
	return inner
}

// text is a field's text; empty if the field is not there.
func (o object) text(field string) string {
	text, _ := o[field].(string)
	return text
}

// texts is the data of a Secret.
func (o object) texts() map[string]string {
	texts := map[string]string{}
	for key, value := range o.at("data") {
		text, _ := value.(string)
		bytes, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			bytes = []byte(err.Error())
		}
		texts[key] = string(bytes)
	}
	return texts
}

// owners are the owner references of an object.
func (o object) owners() []object {
	list, _ := o.at("metadata")["ownerReferences"].([]any)
	var owners []object
	for _, owner := range list {
		if owner, is := owner.(map[string]any); is {
			owners = append(owners, owner)
		}
	}
	return owners
}

// secretData is the data of a Secret.
func (s *scenario) secretData(namespace, name string) (map[string]string, error) {
	text, err := s.Kubectl("", "get", "secret", name, "--namespace="+namespace, "--output=json")
	if err != nil {
		return nil, err
	}
	var secret object
	if err := json.Unmarshal([]byte(text), &secret); err != nil {
		return nil, err
	}
	return secret.texts(), nil
}
