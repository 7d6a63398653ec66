// Command sidecar stands in for the two containers that run beside a CSI driver and whose modules the Go module proxy
// does not serve: node-driver-registrar and livenessprobe. It takes the arguments that the driver's chart gives them, and
// does what kubelet notices of them.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

func main() {
	log.SetFlags(log.LstdFlags | log.Lmicroseconds)
	if len(os.Args) < 2 {
		log.Fatalf("usage: %s csi-node-driver-registrar|livenessprobe [FLAG...]", os.Args[0])
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var err error
	switch name, arguments := os.Args[1], os.Args[2:]; name {
	case "csi-node-driver-registrar":
		err = register(ctx, arguments)
	case "livenessprobe":
		err = probe(ctx, arguments)
	default:
		err = fmt.Errorf("unknown command %q", name)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// flags returns a set that logs verbosity as the real programs take it, and the address of the driver.
func flags(name string) (set *flag.FlagSet, address *string) {
	set = flag.NewFlagSet(name, flag.ExitOnError)
	address = set.String("csi-address", "/run/csi/socket", "socket of the CSI driver")
	set.Int("v", 0, "log verbosity; ignored")
	return set, address
}

func dial(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix:"+strings.TrimPrefix(address, "unix:"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// register asks the driver for its name, and tells kubelet about it through a socket in kubelet's folder of plugins.
func register(ctx context.Context, arguments []string) error {
	set, address := flags("csi-node-driver-registrar")
	endpoint := set.String("kubelet-registration-path", "", "path of the driver's socket, as kubelet sees it")
	folder := set.String("plugin-registration-path", "/registration", "folder that kubelet watches for plugins")
	if err := set.Parse(arguments); err != nil {
		return err
	}
	connection, err := dial(*address)
	if err != nil {
		return err
	}
	defer connection.Close()
	information, err := csi.NewIdentityClient(connection).GetPluginInfo(ctx, &csi.GetPluginInfoRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("ask the driver for its name: %w", err)
	}
	socket := filepath.Join(*folder, information.GetName()+"-reg.sock")
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	registration.RegisterRegistrationServer(server, &registrar{name: information.GetName(), endpoint: *endpoint})
	go func() {
		<-ctx.Done()
		server.GracefulStop()
	}()
	log.Printf("registering %s at %s through %s", information.GetName(), *endpoint, socket)
	return server.Serve(listener)
}

type registrar struct {
	registration.UnimplementedRegistrationServer
	name, endpoint string
}

func (r *registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: r.name, Endpoint: r.endpoint, SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (r *registrar) NotifyRegistrationStatus(
	_ context.Context, status *registration.RegistrationStatus,
) (*registration.RegistrationStatusResponse, error) {
	if !status.PluginRegistered {
		log.Fatalf("kubelet refuses the driver: %s", status.Error)
	}
	log.Printf("kubelet has registered %s", r.name)
	return &registration.RegistrationStatusResponse{}, nil
}

// probe answers HTTP health checks with the result of the driver's own Probe.
func probe(ctx context.Context, arguments []string) error {
	set, address := flags("livenessprobe")
	port := set.Int("health-port", 9808, "port of /healthz")
	endpoint := set.String("http-endpoint", "", "address of /healthz, in place of --health-port")
	timeout := set.Duration("probe-timeout", time.Second, "longest wait for the driver")
	if err := set.Parse(arguments); err != nil {
		return err
	}
	connection, err := dial(*address)
	if err != nil {
		return err
	}
	defer connection.Close()
	driver := csi.NewIdentityClient(connection)
	listen := *endpoint
	if listen == "" {
		listen = fmt.Sprintf(":%d", *port)
	}
	server := &http.Server{Addr: listen, ReadHeaderTimeout: 10 * time.Second}
	server.Handler = http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if request.URL.Path != "/healthz" {
			http.NotFound(answer, request)
			return
		}
		ctx, cancel := context.WithTimeout(request.Context(), *timeout)
		defer cancel()
		ready, err := driver.Probe(ctx, &csi.ProbeRequest{})
		if err != nil || (ready.GetReady() != nil && !ready.GetReady().GetValue()) {
			http.Error(answer, fmt.Sprintf("the driver is not ready: %v", err), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(answer, "ok")
	})
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}
