package peer

import (
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/secrets-store-csi-driver-provider-azure/pkg/provider/types"
	"gopkg.in/yaml.v3"
)

const (
	// same is the rule of answers that do not differ.
	same = ""
	// unexplained is that of answers that no rule explains.
	unexplained = "?"
)

// rule is an intended difference. docs/differences.md has the reason, under the same name.
type rule struct {
	name string
	// theirs is how the Go provider fails where this one mounts; nil if there it does not.
	theirs *regexp.Regexp
	// ours is a fault for which this provider fails where the Go provider mounts; nil if there is none.
	ours *regexp.Regexp
	// of is which requests the rule is about; nil for all.
	of func(*request) bool
	// without takes the difference out of two mounts; nil if both mount the same. It says whether there was one.
	without func(r *request, theirs, ours answer) bool
	// example makes of a request that both mount one that shows the difference, and nothing else of the kind.
	example func(*request)
}

func (r *rule) isOf(request *request) bool {
	return r.of == nil || r.of(request)
}

// explain names the rules by which the answers differ, in their order.
func explain(r *request, theirs, ours answer) string {
	if theirs.equal(ours) {
		return same
	}
	names := []string{}
	switch {
	case !theirs.mounts():
		at := slices.IndexFunc(rules, func(rule *rule) bool {
			return rule.theirs != nil && rule.theirs.MatchString(theirs.failure) && rule.isOf(r)
		})
		if at < 0 {
			return unexplained
		}
		names = append(names, rules[at].name)
	case !ours.mounts():
		// The Go provider stops at the first fault, and this one has to be right about each.
		for _, fault := range ours.faults() {
			at := slices.IndexFunc(rules, func(rule *rule) bool {
				return rule.ours != nil && rule.ours.MatchString(fault) && rule.isOf(r)
			})
			if at < 0 {
				return unexplained
			}
			names = append(names, rules[at].name)
		}
	default:
		theirs, ours := theirs.clone(), ours.clone()
		for _, rule := range rules {
			if rule.without != nil && rule.isOf(r) && rule.without(r, theirs, ours) {
				names = append(names, rule.name)
			}
		}
		if !theirs.equal(ours) {
			return unexplained
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " + ")
}

// keyVaultObjects are the objects of a request as the Go provider reads them; none if it does not.
func keyVaultObjects(r *request) []types.KeyVaultObject {
	array, err := types.GetObjectsArray(types.GetObjects(r.parameters))
	if err != nil {
		return nil
	}
	objects := []types.KeyVaultObject{}
	for _, text := range array.Array {
		var object types.KeyVaultObject
		if yaml.Unmarshal([]byte(text), &object) != nil {
			return nil
		}
		for _, field := range []*string{&object.ObjectName, &object.ObjectAlias, &object.ObjectVersion, &object.ObjectType, &object.FilePermission} {
			*field = strings.TrimSpace(*field)
		}
		objects = append(objects, object)
	}
	return objects
}

// has is whether a request has an object like that.
func has(is func(types.KeyVaultObject) bool) func(*request) bool {
	return func(r *request) bool {
		return slices.ContainsFunc(keyVaultObjects(r), is)
	}
}

// parameter is an example whose class has this parameter.
func parameter(name, value string) func(*request) {
	return func(r *request) {
		r.parameters[name] = value
	}
}

// objectsOf is an example whose class has one object, with these fields.
func objectsOf(lines ...string) func(*request) {
	return parameter("objects", "array:\n- |\n  "+strings.Join(lines, "\n  ")+"\n")
}

// all makes several changes one.
func all(changes ...func(*request)) func(*request) {
	return func(r *request) {
		for _, change := range changes {
			change(r)
		}
	}
}

// ordinary is a request that both mount.
func ordinary() *request {
	r := &request{
		flags:      flagSets[0],
		parameters: map[string]string{"keyvaultName": vault, "tenantID": tenant, "clientID": podClient},
		permission: "420",
	}
	objectsOf("objectName: db-password", "objectType: secret")(r)
	return r
}
