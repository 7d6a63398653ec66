package image

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lastStage are the instructions of a Dockerfile's last stage, each as its words.
func lastStage(t *testing.T, file string) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "deploy", file))
	if err != nil {
		t.Fatal(err)
	}
	var instructions [][]string
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case words[0] == "FROM":
			instructions = nil
		default:
			instructions = append(instructions, words)
		}
	}
	return instructions
}

// contents are the paths that a stage copies into the image, files and folders.
func contents(stage [][]string) []string {
	var paths []string
	for _, words := range stage {
		if words[0] != "COPY" {
			continue
		}
		operands := slices.DeleteFunc(slices.Clone(words[1:]), func(word string) bool { return strings.HasPrefix(word, "--") })
		source, target := operands[0], operands[1]
		if strings.HasSuffix(target, "/") {
			target += filepath.Base(source)
		}
		paths = append(paths, target)
	}
	slices.Sort(paths)
	return paths
}

func list(t *testing.T, stage [][]string, instruction string) []string {
	t.Helper()
	for _, words := range stage {
		if words[0] == instruction {
			var values []string
			if err := json.Unmarshal([]byte(strings.Join(words[1:], " ")), &values); err != nil {
				t.Fatal(err)
			}
			return values
		}
	}
	return nil
}

func TestTheImagesHoldAndStartWhatTheDockerfilesSay(t *testing.T) {
	t.Chdir("..")
	// A static program, as the Dockerfile's is.
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, make := range map[string]func(string, ...string) (Image, error){
		"Dockerfile": Provider, "emulator.Dockerfile": Emulator,
	} {
		image, err := make(program, "image:latest")
		if err != nil {
			t.Fatal(err)
		}
		paths := sortedPaths(image)
		stage := lastStage(t, file)
		if want := contents(stage); !slices.Equal(paths, want) {
			t.Errorf("%s: the image holds %v, the Dockerfile copies %v", file, paths, want)
		}
		if want := list(t, stage, "ENTRYPOINT"); !slices.Equal(image.Entrypoint, want) {
			t.Errorf("%s: the image starts %v, the Dockerfile %v", file, image.Entrypoint, want)
		}
		if want := list(t, stage, "CMD"); !slices.Equal(image.Command, want) {
			t.Errorf("%s: the image's arguments are %v, the Dockerfile's %v", file, image.Command, want)
		}
		user := ""
		for _, words := range stage {
			if words[0] == "USER" {
				user = words[1]
			}
		}
		if image.User != user {
			t.Errorf("%s: the image's user is %q, the Dockerfile's %q", file, image.User, user)
		}
	}
}

func sortedPaths(image Image) []string {
	var paths []string
	for path := range image.Files {
		paths = append(paths, path)
	}
	for path := range image.Folders {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

func TestAnArchiveNamesItsLayerByTheDigestOfTheLayer(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "content")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	image := Image{Names: []string{"a:1"}, Files: map[string]string{"/folder/file": file}, Links: map[string]string{"/link": "folder/file"}}
	digests := map[string]bool{}
	for index := range 2 {
		digest, err := image.writeLayer(filepath.Join(folder, fmt.Sprint(index)))
		if err != nil {
			t.Fatal(err)
		}
		digests[digest] = true
	}
	if len(digests) != 1 {
		t.Errorf("the same content has %d digests", len(digests))
	}
	if err := image.Write(filepath.Join(folder, "image.tar")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "image.tar.layer")); !os.IsNotExist(err) {
		t.Errorf("the layer is left beside the archive: %v", err)
	}
}
