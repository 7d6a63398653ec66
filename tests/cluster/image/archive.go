// Package image writes container images of local files as archives that a container runtime can load.
package image

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// Image is what goes into one image.
type Image struct {
	// Names, with tags, as manifests name the image.
	Names []string
	// Files of the image by their path in it; the value is the path of the file on this machine.
	Files map[string]string
	// Links are symbolic links of the image, by their path in it.
	Links map[string]string
	// Folders of the image that may be empty, with their permissions.
	Folders    map[string]int64
	Entrypoint []string
	Command    []string
	// Environment holds NAME=VALUE.
	Environment []string
	// User is a number, or USER:GROUP in numbers; empty is root.
	User string
}

type configuration struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Config       struct {
		Env        []string `json:"Env"`
		Entrypoint []string `json:"Entrypoint,omitempty"`
		Cmd        []string `json:"Cmd,omitempty"`
		User       string   `json:"User,omitempty"`
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

type manifest struct {
	Config   string   `json:"Config"`
	RepoTags []string `json:"RepoTags"`
	Layers   []string `json:"Layers"`
}

// Write writes the image as a docker archive with one layer.
func (i Image) Write(file string) error {
	layer := file + ".layer"
	defer os.Remove(layer)
	digest, err := i.writeLayer(layer)
	if err != nil {
		return fmt.Errorf("layer of image %s: %w", i.Names, err)
	}
	var config configuration
	config.Architecture, config.OS = "amd64", "linux"
	config.Config.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, i.Environment...)
	config.Config.Entrypoint, config.Config.Cmd, config.Config.User = i.Entrypoint, i.Command, i.User
	config.RootFS.Type, config.RootFS.DiffIDs = "layers", []string{"sha256:" + digest}
	configText, err := json.Marshal(config)
	if err != nil {
		return err
	}
	manifestText, err := json.Marshal([]manifest{{Config: "config.json", RepoTags: i.Names, Layers: []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	output, err := os.Create(file)
	if err != nil {
		return err
	}
	defer output.Close()
	archive := tar.NewWriter(output)
	for name, text := range map[string][]byte{"config.json": configText, "manifest.json": manifestText} {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			return err
		}
		if _, err := archive.Write(text); err != nil {
			return err
		}
	}
	if err := addFile(archive, "layer.tar", layer); err != nil {
		return err
	}
	return archive.Close()
}

// writeLayer writes the layer, and returns its digest in hexadecimal.
func (i Image) writeLayer(file string) (string, error) {
	output, err := os.Create(file)
	if err != nil {
		return "", err
	}
	defer output.Close()
	hash := sha256.New()
	archive := tar.NewWriter(io.MultiWriter(output, hash))
	for _, folder := range i.folders() {
		mode, given := i.Folders[folder]
		if !given {
			mode = 0o755
		}
		header := &tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(folder, "/") + "/", Mode: mode}
		if err := archive.WriteHeader(header); err != nil {
			return "", err
		}
	}
	for _, name := range sorted(i.Files) {
		if err := addFile(archive, strings.TrimPrefix(name, "/"), i.Files[name]); err != nil {
			return "", err
		}
	}
	for _, name := range sorted(i.Links) {
		header := &tar.Header{Typeflag: tar.TypeSymlink, Name: strings.TrimPrefix(name, "/"), Linkname: i.Links[name], Mode: 0o777}
		if err := archive.WriteHeader(header); err != nil {
			return "", err
		}
	}
	if err := archive.Close(); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// folders are the folders of the image, parents first.
func (i Image) folders() []string {
	set := map[string]string{}
	add := func(folder string) {
		for ; folder != "/" && folder != "."; folder = path.Dir(folder) {
			set[folder] = ""
		}
	}
	for name := range i.Folders {
		add(name)
	}
	for name := range i.Files {
		add(path.Dir(name))
	}
	for name := range i.Links {
		add(path.Dir(name))
	}
	return sorted(set)
}

// addFile adds a file with the permissions of the original, owned by root.
func addFile(archive *tar.Writer, name, file string) error {
	file, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	input, err := os.Open(file)
	if err != nil {
		return err
	}
	defer input.Close()
	information, err := input.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: name, Mode: int64(information.Mode().Perm()), Size: information.Size()}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, input)
	return err
}

func sorted(set map[string]string) []string {
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
