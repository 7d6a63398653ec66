package node

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"
	"time"
)

const etcd = "http://127.0.0.1:2379"

func (n *Node) startControlPlane() error {
	if err := n.component("etcd", answers(etcd+"/health"),
		"--data-dir="+filepath.Join(state, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+etcd, "--advertise-client-urls="+etcd,
		"--listen-peer-urls=http://127.0.0.1:2380",
	); err != nil {
		return err
	}
	if err := n.startAPIServer(); err != nil {
		return err
	}
	kubeconfig := "--kubeconfig=" + n.Kubeconfig()
	if err := n.component("kube-controller-manager", answers("https://127.0.0.1:10257/healthz"),
		kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1",
		"--service-account-private-key-file="+n.credentials.path("issuer-key.pem"),
		"--root-ca-file="+n.credentials.path("ca.pem"),
	); err != nil {
		return err
	}
	return n.component("kube-scheduler", answers("https://127.0.0.1:10259/healthz"),
		kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1")
}

// startAPIServer serves on port 443 of the service address as well, so that no kube-proxy is needed.
func (n *Node) startAPIServer() error {
	file := n.credentials.path
	return n.component("kube-apiserver", n.ready("/readyz"),
		"--etcd-servers="+etcd,
		"--secure-port=443", "--bind-address=0.0.0.0", "--advertise-address="+Address,
		"--service-cluster-ip-range="+serviceRange,
		"--tls-cert-file="+file("apiserver.pem"), "--tls-private-key-file="+file("apiserver-key.pem"),
		"--token-auth-file="+file("tokens.csv"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer="+Issuer,
		"--service-account-key-file="+file("issuer-key.pem"), "--service-account-signing-key-file="+file("issuer-key.pem"),
		"--kubelet-client-certificate="+file("apiserver-kubelet.pem"), "--kubelet-client-key="+file("apiserver-kubelet-key.pem"),
		"--kubelet-preferred-address-types=InternalIP",
		"--allow-privileged=true")
}

// ready checks a path of the API server as the administrator.
func (n *Node) ready(path string) func() error {
	return answers("https://127.0.0.1:443" + path)
}

// answers checks that a URL answers with 200. All are served on this network namespace's own addresses, with
// certificates that the programs made for themselves.
func answers(url string) func() error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	}}
	return func() error {
		request, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+adminToken)
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, answer.Status)
		}
		return nil
	}
}
