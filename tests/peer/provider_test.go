package peer

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"sigs.k8s.io/secrets-store-csi-driver/provider/v1alpha1"
)

// provider is one of the two providers, with its command to restart it.
type provider struct {
	name, path  string
	environment []string
	arguments   func(socket string) ([]string, error)
	azure       *azure
	folder      string
	starts      int
	program     *program
	connection  *grpc.ClientConn
	mounts      int
}

// startProvider starts it, and ends it with the test.
func startProvider(t *testing.T, p *provider) *provider {
	t.Helper()
	p.folder = t.TempDir()
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.connection.Close()
		p.program.stop(t)
	})
	return p
}

func (p *provider) start() error {
	p.starts++
	socket := filepath.Join(p.folder, fmt.Sprintf("%d.sock", p.starts))
	arguments, err := p.arguments(socket)
	if err != nil {
		return err
	}
	if p.program, err = start(p.name, p.path, p.environment, arguments...); err != nil {
		return err
	}
	p.connection, err = grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(driverLimit)))
	if err != nil {
		return err
	}
	return p.program.waitUntil(func() error {
		within, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := p.client().Version(within, &v1alpha1.VersionRequest{Version: "v1alpha1"})
		return err
	})
}

func (p *provider) client() v1alpha1.CSIDriverProviderClient {
	return v1alpha1.NewCSIDriverProviderClient(p.connection)
}

// mount is a first mount of a new pod. A provider that the request ends is started again.
func (p *provider) mount(r *request) (answer, error) {
	p.mounts++
	uid := fmt.Sprintf("%08x-0000-4000-8000-000000000000", p.mounts)
	attributes, err := json.Marshal(r.attributes(p.azure.tokens, uid))
	if err != nil {
		return answer{}, err
	}
	secrets, err := json.Marshal(r.secrets)
	if err != nil {
		return answer{}, err
	}
	within, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	response, err := p.client().Mount(within, &v1alpha1.MountRequest{
		Attributes: string(attributes),
		Secrets:    string(secrets),
		TargetPath: "/var/lib/kubelet/pods/" + uid + "/volumes/kubernetes.io~csi/secrets/mount",
		Permission: r.permission,
	})
	if status.Code(err) == codes.Unavailable && p.program.hasEnded(5*time.Second) {
		p.connection.Close()
		return failed("the process ended"), p.start()
	}
	if err != nil {
		return failed("%s: %s", status.Code(err), status.Convert(err).Message()), nil
	}
	return judge(response), nil
}

// pair is the two providers with the same flags before the same Azure.
type pair struct {
	theirs, ours *provider
}

// startPair starts both as the Go provider's DaemonSet does.
func startPair(t *testing.T, azure *azure, flags flags) *pair {
	t.Helper()
	arguments := func(more ...string) func(string) ([]string, error) {
		return func(socket string) ([]string, error) {
			health, err := freePort()
			if err != nil {
				return nil, err
			}
			metrics, err := freePort()
			if err != nil {
				return nil, err
			}
			all := []string{
				"--endpoint=unix://" + socket, "--healthz-port=" + health, "--prometheus-port=" + metrics,
				fmt.Sprintf("--construct-pem-chain=%t", flags.constructChain),
				fmt.Sprintf("--write-cert-and-key-in-separate-files=%t", flags.separateFiles),
			}
			return append(all, more...), nil
		}
	}
	return &pair{
		theirs: startProvider(t, &provider{
			name: "the Go provider", path: binary(t, "GO_PROVIDER"), azure: azure,
			environment: azure.environment, arguments: arguments(),
		}),
		ours: startProvider(t, &provider{
			name: "this provider", path: binary(t, "KEYVAULT_CSI_PROVIDER"), azure: azure,
			environment: azure.environment, arguments: arguments("--imds-endpoint=" + azure.imds + "/"),
		}),
	}
}

// mount sends the request to both concurrently.
func (p *pair) mount(r *request) (theirs, ours answer, err error) {
	done := make(chan error, 1)
	go func() {
		var err error
		theirs, err = p.theirs.mount(r)
		done <- err
	}()
	ours, err = p.ours.mount(r)
	if theirErr := <-done; err == nil {
		err = theirErr
	}
	return theirs, ours, err
}
