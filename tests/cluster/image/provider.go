package image

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
)

// top is the repository's top folder, as seen from the folder of the scenarios.
const top = "../.."

// Provider is the image that deploy/Dockerfile describes, with this program in place of the one that it builds.
func Provider(program string, names ...string) (Image, error) {
	return described(program, Image{
		Names: names,
		Files: map[string]string{
			"/etc/ssl/certs/ca-certificates.crt": "/etc/ssl/certs/ca-certificates.crt",
			"/LICENSE":                           filepath.Join(top, "LICENSE"),
			"/keyvault-csi-provider":             program,
		},
		Entrypoint: []string{"/keyvault-csi-provider"},
	})
}

// Emulator is the image that deploy/emulator.Dockerfile describes, with this program in place of the one that it builds.
func Emulator(program string, names ...string) (Image, error) {
	return described(program, Image{
		Names: names,
		Files: map[string]string{
			"/LICENSE":           filepath.Join(top, "LICENSE"),
			"/keyvault-emulator": program,
		},
		Folders:    map[string]int64{"/shared": 0o755},
		Entrypoint: []string{"/keyvault-emulator"},
		Command:    []string{"--seed=/seed/seed.yaml", "--ca-file=/shared/ca.pem", "--imds-listen=127.0.0.1:8081"},
		User:       "65532:65532",
	})
}

// described adds the libraries that a program of a debug build is linked to. A released program is static.
func described(program string, image Image) (Image, error) {
	libraries, err := Libraries(program)
	if err != nil {
		return image, err
	}
	for _, library := range libraries {
		image.Files[library] = library
	}
	return image, nil
}

var library = regexp.MustCompile(`(?m)^\s*(?:\S+ => )?(/\S+) \(0x`)

// Libraries are the shared libraries of a program, with its dynamic linker; none if it is static.
func Libraries(program string) ([]string, error) {
	output, err := exec.Command("ldd", program).CombinedOutput()
	if err != nil {
		if static := regexp.MustCompile(`not a dynamic executable|statically linked`); static.Match(output) {
			return nil, nil
		}
		return nil, fmt.Errorf("ldd %s: %w\n%s", program, err, output)
	}
	var libraries []string
	for _, match := range library.FindAllStringSubmatch(string(output), -1) {
		libraries = append(libraries, match[1])
	}
	return libraries, nil
}
