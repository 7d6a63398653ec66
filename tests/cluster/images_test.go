package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"keyvault-csi-provider.test/cluster/image"
	"keyvault-csi-provider.test/cluster/node"
)

// providerImage is the provider's image of the scenarios: the one that examples/kind names.
const providerImage = "docker.io/library/keyvault-csi-provider:kind"

// The images of this provider that a platform team built, by the names that it gave to docs/install.md. They find the
// emulated Azure by themselves, since neither the Go provider's chart nor its manifest has a value for environment
// variables. The one of the Go provider does the same.
const (
	registry         = "registry.test/platform"
	imageOfRegistry  = registry + "/keyvault-csi-provider"
	versionOfRelease = "0.1.0"
)

// goProviderProgram is where the Go provider's Dockerfile puts it. Its chart mounts a folder on /provider.
const goProviderProgram = "/bin/secrets-store-csi-driver-provider-azure"

// certificateAuthorities are the machine's; the Dockerfile takes those of Alpine.
const certificateAuthorities = "/etc/ssl/certs/ca-certificates.crt"

// writeImages writes an archive for each image that the charts, the examples and the scenarios name, and returns the
// archives' paths.
func writeImages(c *cluster) ([]string, error) {
	images, err := workloadImages()
	if err != nil {
		return nil, err
	}
	for _, chart := range []string{chartOfProvider, chartOfDriver("v1.5.6"), filepath.Join(c.charts, "go-provider")} {
		names, err := c.imagesOf(chart)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			image, err := imageNamed(name)
			if err != nil {
				return nil, fmt.Errorf("chart %s: %w", chart, err)
			}
			images = append(images, image)
		}
	}
	folder := filepath.Join(environment("CLUSTER_BINARIES"), "..", "images")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	var files []string
	written := map[string]bool{}
	for _, image := range images {
		if written[image.Names[0]] {
			continue
		}
		written[image.Names[0]] = true
		file := filepath.Join(folder, strings.NewReplacer("/", "_", ":", "_").Replace(image.Names[0])+".tar")
		if err := image.Write(file); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

var imageLine = regexp.MustCompile(`(?m)^\s*(?:- )?image: "?([^"\s]+)"?\s*$`)

// imagesOf are the images that a chart's objects name with the chart's own values.
func (c *cluster) imagesOf(chart string) ([]string, error) {
	rendered, err := exec.Command(c.helm, "template", "x", chart, "--include-crds", "--kube-version=1.34.0").Output()
	if err != nil {
		return nil, fmt.Errorf("helm template %s: %w", chart, err)
	}
	var names []string
	for _, match := range imageLine.FindAllStringSubmatch(string(rendered), -1) {
		names = append(names, match[1])
	}
	return names, nil
}

// imageNamed makes the image that a chart names out of the program that stands behind that name.
func imageNamed(name string) (image.Image, error) {
	binaries := environment("CLUSTER_BINARIES")
	kubernetes := environment("CLUSTER_KUBERNETES")
	repository, tag, _ := strings.Cut(path.Base(name), ":")
	switch repository {
	case "driver":
		return withBusybox(image.Image{
			Names:      []string{name},
			Files:      map[string]string{"/secrets-store-csi": filepath.Join(binaries, "secrets-store-csi-"+strings.TrimPrefix(tag, "v"))},
			Entrypoint: []string{"/secrets-store-csi"},
		})
	case "driver-crds":
		crds, err := filepath.Glob(filepath.Join(chartOfDriver(tag), "crds", "*.yaml"))
		if err != nil || len(crds) == 0 {
			return image.Image{}, fmt.Errorf("no CRDs of the driver %s: %v", tag, err)
		}
		files := map[string]string{"/hyperkube": filepath.Join(kubernetes, "hyperkube")}
		for _, crd := range crds {
			files["/crds/"+filepath.Base(crd)] = crd
		}
		return image.Image{Names: []string{name}, Files: files, Entrypoint: []string{"/hyperkube", "kubectl"}}, nil
	case "csi-node-driver-registrar", "livenessprobe":
		return image.Image{
			Names:      []string{name},
			Files:      map[string]string{"/sidecar": filepath.Join(kubernetes, "sidecar")},
			Entrypoint: []string{"/sidecar", repository},
		}, nil
	case "provider-azure":
		return image.Image{
			Names: []string{name},
			Files: map[string]string{
				goProviderProgram:      filepath.Join(binaries, "provider-go"),
				certificateAuthorities: certificateAuthorities,
			},
			Entrypoint:  []string{goProviderProgram},
			Environment: azureEnvironment(),
		}, nil
	case "keyvault-csi-provider":
		return image.Provider(environment("KEYVAULT_CSI_PROVIDER"), name, providerImage)
	}
	return image.Image{}, fmt.Errorf("nothing here is the image %s", name)
}

// workloadImages are the images of pods in the examples and scenarios, and of the emulator.
func workloadImages() ([]image.Image, error) {
	busybox, err := withBusybox(image.Image{Names: []string{"docker.io/library/busybox:1.37"}})
	if err != nil {
		return nil, err
	}
	emulator, err := image.Emulator(environment("KEYVAULT_EMULATOR"), "docker.io/library/keyvault-emulator:latest")
	if err != nil {
		return nil, err
	}
	platform, err := image.Provider(environment("KEYVAULT_CSI_PROVIDER"), imageOfRegistry+":"+versionOfRelease)
	if err != nil {
		return nil, err
	}
	platform.Environment = azureEnvironment()
	pause := image.Image{
		Names:      []string{node.Pause},
		Files:      map[string]string{"/pause": filepath.Join(environment("CLUSTER_BINARIES"), "pause")},
		Entrypoint: []string{"/pause"},
	}
	velero := image.Image{
		Names:      []string{veleroImage},
		Files:      map[string]string{"/velero-credentials": filepath.Join(environment("CLUSTER_BINARIES"), "velero-credentials")},
		Entrypoint: []string{"/velero-credentials"},
	}
	return []image.Image{pause, busybox, emulator, platform, velero}, nil
}

// withBusybox adds busybox and a link for each of its commands.
func withBusybox(i image.Image) (image.Image, error) {
	commands, err := exec.Command("busybox", "--list").Output()
	if err != nil {
		return i, fmt.Errorf("list the commands of busybox: %w", err)
	}
	program, err := exec.LookPath("busybox")
	if err != nil {
		return i, err
	}
	if i.Files == nil {
		i.Files = map[string]string{}
	}
	i.Files["/bin/busybox"] = program
	i.Links = map[string]string{}
	for _, name := range strings.Fields(string(commands)) {
		if name != "busybox" {
			i.Links["/bin/"+name] = "busybox"
		}
	}
	i.Folders = map[string]int64{"/tmp": 0o1777}
	return i, nil
}
