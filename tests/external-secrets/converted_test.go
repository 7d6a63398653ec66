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

// converted is the output of `convert` for a case.
type converted struct {
	objects []object
	// lost are the locations that it reports as not carried over, with the reason, by ExternalSecret.
	lost map[string][]loss
}

// loss is one note of convert.
type loss struct{ location, reason string }

var note = regexp.MustCompile(`(?m)^[^\n]*?:\d+: (ExternalSecret \S+): not carried over: (.*?): (.*)$`)

// convert runs the program on the text of a case, in an empty directory.
func convert(c *testCase, folder string) (*converted, error) {
	program, err := binary("KEYVAULT_CSI_PROVIDER")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, c.file), []byte(c.text), 0o600); err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	command := exec.Command(program, "convert", c.file)
	command.Dir, command.Stdout, command.Stderr = folder, &stdout, &stderr
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("convert %s: %w\n%s", c.file, err, stderr.String())
	}
	output := &converted{lost: map[string][]loss{}}
	if output.objects, err = parse(reachable(stdout.String())); err != nil {
		return nil, fmt.Errorf("output of convert for %s: %w", c.file, err)
	}
	for _, match := range note.FindAllStringSubmatch(stderr.String(), -1) {
		output.lost[match[1]] = append(output.lost[match[1]], loss{match[2], match[3]})
	}
	return output, nil
}

// keeps reports whether the output still has the ExternalSecret.
func (c *converted) keeps(es object) bool {
	for _, o := range c.objects {
		if o.kind() == "ExternalSecret" && o.id() == es.id() {
			return true
		}
	}
	return false
}

// classes are the SecretProviderClasses that the input did not have.
func (c *converted) classes(of *testCase) []object {
	var classes []object
	for _, o := range c.objects {
		if o.kind() != "SecretProviderClass" {
			continue
		}
		if _, was := of.find(o.kind(), o.namespace(), o.name()); !was {
			classes = append(classes, o)
		}
	}
	return classes
}

// without removes the elements that are not carried over from an ExternalSecret. It also returns the keys of the
// Secret that they create: these are not compared.
func without(es object, lost []loss) (object, map[string]bool) {
	rest := object(deepCopy(es))
	keys := map[string]bool{}
	removed := map[string]map[int]bool{"data": {}, "dataFrom": {}}
	for _, loss := range lost {
		if match := element.FindStringSubmatch(loss.location); match != nil {
			index, _ := strconv.Atoi(match[2])
			removed[match[1]][index] = true
		}
		template := rest.at("spec", "target", "template")
		if key, ok := strings.CutPrefix(loss.location, "spec.target.template.data."); ok {
			// A template without keys would have another meaning.
			template.at("data")[key] = ""
			keys[key] = true
		}
		if strings.HasPrefix(loss.location, "spec.target.template.templateFrom") {
			delete(template, "templateFrom")
		}
		if loss.location == "spec.target.template.type" {
			delete(template, "type")
		}
	}
	for field, indices := range removed {
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

// volumes are the volumes of an object's pods, by their path and name.
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
