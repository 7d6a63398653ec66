package peer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	namespace = "shop"
	account   = "checkout"
	audience  = "api://AzureADTokenExchange"
	tokensKey = "csi.storage.k8s.io/serviceAccount.tokens"
)

// flags are the operator's switches that change what is written.
type flags struct {
	constructChain, separateFiles bool
}

// request is what a SecretProviderClass and its pod ask for.
type request struct {
	// seed and index make it again.
	seed, index uint64
	flags       flags
	// parameters are the class's.
	parameters map[string]string
	// secrets are nodePublishSecretRef's; nil for none.
	secrets map[string]string
	// permission is the driver's default file mode, decimal.
	permission string
	// withoutToken is a pod whose CSIDriver object asks for no tokens.
	withoutToken bool
}

// attributes are the class's parameters under kubelet's volume context, as NodePublishVolume joins them.
func (r *request) attributes(tokens, uid string) map[string]string {
	attributes := maps.Clone(r.parameters)
	maps.Copy(attributes, map[string]string{
		"csi.storage.k8s.io/pod.name":            "app-0",
		"csi.storage.k8s.io/pod.namespace":       namespace,
		"csi.storage.k8s.io/pod.uid":             uid,
		"csi.storage.k8s.io/serviceAccount.name": account,
		"csi.storage.k8s.io/ephemeral":           "true",
		"secretProviderClass":                    "peer",
	})
	if !r.withoutToken {
		attributes[tokensKey] = tokens
	}
	return attributes
}

// objects is the parameter of that name.
func (r *request) objects() string {
	return r.parameters["objects"]
}

// clone is a copy that may be changed.
func (r *request) clone() *request {
	copied := *r
	copied.parameters, copied.secrets = maps.Clone(r.parameters), maps.Clone(r.secrets)
	return &copied
}

// String shows the request to a reader. Its secrets are the seed's, and only their names are shown.
func (r *request) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "-seed %d -only %d; construct-pem-chain=%t, write-cert-and-key-in-separate-files=%t, permission %s\n",
		r.seed, r.index, r.flags.constructChain, r.flags.separateFiles, r.permission)
	for _, key := range slices.Sorted(maps.Keys(r.parameters)) {
		switch key {
		case "objects":
		case "cloudEnvFileName":
			// Its folder is another one in each run.
			fmt.Fprintf(&text, "%s: a file of a private cloud\n", key)
		default:
			fmt.Fprintf(&text, "%s: %q\n", key, r.parameters[key])
		}
	}
	if r.secrets != nil {
		fmt.Fprintf(&text, "nodePublishSecretRef has %q\n", slices.Sorted(maps.Keys(r.secrets)))
	}
	if r.withoutToken {
		text.WriteString("the pod has no token\n")
	}
	objects, found := r.parameters["objects"]
	if !found {
		return text.String() + "no objects\n"
	}
	fmt.Fprintf(&text, "objects (%d bytes):\n", len(objects))
	if len(objects) > 4000 {
		objects = objects[:4000] + "…"
	}
	for line := range strings.SplitSeq(objects, "\n") {
		fmt.Fprintf(&text, "    %s\n", visible(line))
	}
	return text.String()
}

// visible makes white space and control characters other than the space visible.
func visible(line string) string {
	quoted := fmt.Sprintf("%q", line)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
