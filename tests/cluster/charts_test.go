package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	chartOfProvider = "../../deploy/charts/keyvault-csi-provider"
	kubeSystem      = "kube-system"
	// release is the name of the Helm release of most scenarios.
	release = "csi"
	// helmTimeout bounds an installation: the driver's CRD job and two rollouts.
	helmTimeout = "3m"
)

// chartOfDriver is the folder of the driver's own chart, by the tag of the driver's image.
func chartOfDriver(tag string) string {
	if version := strings.TrimPrefix(tag, "v"); version != "1.6.0" {
		return filepath.Join(environment("CLUSTER_CHARTS"), "driver-"+version)
	}
	return filepath.Join(chartOfProvider, "charts", "secrets-store-csi-driver")
}

// installation is a Helm release.
type installation struct {
	release, chart string
	// values are YAML, the later before the earlier.
	values []string
	// flags are further arguments of helm.
	flags []string
}

// standard is this provider's chart, with the driver, on a node with the emulated Azure.
func standard(values ...string) installation {
	return installation{release: release, chart: chartOfProvider, values: append([]string{the.azure.values()}, values...)}
}

// driver15 is the driver 1.5.6 by its own chart. It goes before a provider without a driver.
func driver15(values ...string) installation {
	return installation{release: "driver", chart: chartOfDriver("v1.5.6"), values: values}
}

// provider installs the releases, unless they are there already.
func (c *cluster) provider(t *testing.T, wanted ...installation) {
	t.Helper()
	begin := time.Now()
	if err := c.install(wanted...); err != nil {
		c.describe(t, kubeSystem)
		t.Fatal(err)
	}
	t.Logf("the release is ready after %.1f s", time.Since(begin).Seconds())
}

func (c *cluster) install(wanted ...installation) error {
	if c.installed == fmt.Sprint(wanted) {
		return nil
	}
	if err := c.uninstall(); err != nil {
		return err
	}
	for _, release := range wanted {
		if err := c.upgrade(release); err != nil {
			return err
		}
	}
	c.installed = fmt.Sprint(wanted)
	return nil
}

// upgrade installs or upgrades a release and waits until its pods are ready.
func (c *cluster) upgrade(wanted installation) error {
	arguments := []string{"upgrade", "--install", wanted.release, wanted.chart, "--namespace", kubeSystem,
		"--wait", "--timeout", helmTimeout}
	for index, values := range wanted.values {
		file, err := os.CreateTemp("", fmt.Sprintf("values-%d-*.yaml", index))
		if err != nil {
			return err
		}
		defer os.Remove(file.Name())
		if _, err := file.WriteString(values); err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
		arguments = append(arguments, "--values", file.Name())
	}
	c.installed = "changed by a scenario"
	_, err := c.runHelm(append(arguments, wanted.flags...)...)
	return err
}

// uninstall removes every release, and waits until the driver's pods are gone.
func (c *cluster) uninstall() error {
	releases, err := c.runHelm("list", "--namespace", kubeSystem, "--short")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(releases) {
		if _, err := c.runHelm("uninstall", name, "--namespace", kubeSystem, "--wait", "--timeout", helmTimeout); err != nil {
			return err
		}
	}
	c.installed = ""
	return nil
}

func (c *cluster) runHelm(arguments ...string) (string, error) {
	command := exec.Command(c.helm, arguments...)
	command.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig())
	var errors strings.Builder
	command.Stderr = &errors
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("helm %s: %w\n%s", strings.Join(arguments, " "), err, errors.String())
	}
	return string(output), nil
}
