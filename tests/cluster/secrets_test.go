package cluster

import (
	"encoding/json"
)

// secretObject is what the scenarios look at in a Secret.
type secretObject struct {
	Metadata struct {
		Name            string
		ResourceVersion string
		Labels          map[string]string
		Annotations     map[string]string
		OwnerReferences []ownerReference
	}
	Data map[string][]byte
}

type ownerReference struct {
	Kind, Name, UID string
	Controller      bool
}

// texts is the data as strings.
func (o secretObject) texts() map[string]string {
	texts := make(map[string]string, len(o.Data))
	for key, value := range o.Data {
		texts[key] = string(value)
	}
	return texts
}

func (s *scenario) secretData(namespace, name string) (map[string]string, error) {
	text, err := s.Kubectl("", "get", "secret", name, "--namespace="+namespace, "--output=json")
	if err != nil {
		return nil, err
	}
	var object secretObject
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		return nil, err
	}
	return object.texts(), nil
}
