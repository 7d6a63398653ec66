package judge

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// converted is what `convert` makes of a case.
type converted struct {
	objects []object
	// lost are the places that it reports as not carried over, with the reason, by ExternalSecret.
	lost map[string][]loss
}

// loss is one note of convert.
type loss struct{ place, reason string }

var note = regexp.MustCompile(`(?m)^[^\n]*?:\d+: (ExternalSecret \S+): not carried over: (.*?): (.*)$`)

// convert runs the program on the case's text, in a folder of its own.
func convert(c *testCase, folder string) (*converted, error) {
	program, err := binary("KEYVAULT_CSI_PROVIDER")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, c.file), []byte(c.text), 0o600); err != nil {
		return nil, err
	}
	var out, said bytes.Buffer
	command := exec.Command(program, "convert", c.file)
	command.Dir, command.Stdout, command.Stderr = folder, &out, &said
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("convert %s: %w\n%s", c.file, err, said.String())
	}
	made := &converted{lost: map[string][]loss{}}
	if made.objects, err = parse(reachable(out.String())); err != nil {
		return nil, fmt.Errorf("what convert made of %s: %w", c.file, err)
	}
	for _, match := range note.FindAllStringSubmatch(said.String(), -1) {
		made.lost[match[1]] = append(made.lost[match[1]], loss{match[2], match[3]})
	}
	return made, nil
}

// stays is whether the ExternalSecret is still there after the conversion.
func (c *converted) stays(es object) bool {
	for _, o := range c.objects {
		if o.kind() == "ExternalSecret" && o.id() == es.id() {
			return true
		}
	}
	return false
}

// classes are the SecretProviderClasses that the input did not have.
func (c *converted) classes(of *testCase) []object {
	var made []object
	for _, o := range c.objects {
		if o.kind() != "SecretProviderClass" {
			continue
		}
		if _, was := of.find(o.kind(), o.namespace(), o.name()); !was {
			made = append(made, o)
		}
	}
	return made
}

// without removes from an ExternalSecret what is not carried over. It returns the keys of the Secret that this
// concerns: of them there is nothing to say.
func without(es object, lost []loss) (object, map[string]bool) {
	rest := object(deepCopy(es))
	keys := map[string]bool{}
	gone := map[string]map[int]bool{"data": {}, "dataFrom": {}}
	for _, loss := range lost {
		if match := element.FindStringSubmatch(loss.place); match != nil {
			index, _ := strconv.Atoi(match[2])
			gone[match[1]][index] = true
		}
		template := rest.at("spec", "target", "template")
		if key, ok := strings.CutPrefix(loss.place, "spec.target.template.data."); ok {
			// Removing it could remove the last one, which means another thing.
			template.at("data")[key] = ""
			keys[key] = true
		}
		if strings.HasPrefix(loss.place, "spec.target.template.templateFrom") {
			delete(template, "templateFrom")
		}
		if loss.place == "spec.target.template.type" {
			delete(template, "type")
		}
	}
	for field, indices := range gone {
		var kept []any
		for index, item := range rest.list("spec", field) {
			if !indices[index] {
				kept = append(kept, map[string]any(item))
			} else if field == "data" {
				keys[text(item, "secretKey")] = true
			}
		}
		delete(rest.at("spec"), field)
		if kept != nil {
			rest.at("spec")[field] = kept
		}
	}
	return rest, keys
}

var element = regexp.MustCompile(`^spec\.(data|dataFrom)\[(\d+)\]`)

// volumes are the volumes of an object's pods, by their path in it and their name.
func volumes(o object) map[string]object {
	found := map[string]object{}
	var walk func(path string, at any)
	walk = func(path string, at any) {
		switch at := at.(type) {
		case map[string]any:
			for key, value := range at {
				walk(path+"."+key, value)
			}
			for _, volume := range object(at).list("volumes") {
				found[path+"/"+text(volume, "name")] = volume
			}
		case []any:
			for index, value := range at {
				walk(fmt.Sprintf("%s[%d]", path, index), value)
			}
		}
	}
	walk("", map[string]any(o))
	return found
}
