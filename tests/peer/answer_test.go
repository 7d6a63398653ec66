package peer

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/secrets-store-csi-driver/pkg/util/fileutil"
	"sigs.k8s.io/secrets-store-csi-driver/provider/v1alpha1"
)

// driverLimit is what the driver's client receives at most, unless its --max-call-recv-msg-size says otherwise.
const driverLimit = 4 << 20

// file is a file that a pod finds at a path: the digest stands for the bytes, which may be secret.
type file struct {
	mode   int32
	size   int
	digest string
}

// answer is the result of a mount: files and versions, or a failure.
type answer struct {
	// failure is the error's text; empty if the pod starts.
	failure string
	files   map[string]file
	// versions is what the driver keeps: the last one of equal ids.
	versions map[string]string
}

func failed(format string, arguments ...any) answer {
	return answer{failure: fmt.Sprintf(format, arguments...)}
}

// judge handles a response as the driver does, with the driver's own writer.
func judge(response *v1alpha1.MountResponse) answer {
	if code := response.GetError().GetCode(); code != "" {
		return failed("driver: the response has the error code %s", code)
	}
	if response.GetObjectVersion() == nil {
		return failed("driver: the response has no object versions")
	}
	if len(response.GetFiles()) == 0 {
		return failed("driver: the response has no files")
	}
	target, err := os.MkdirTemp("", "peer")
	if err != nil {
		return failed("test: %v", err)
	}
	defer os.RemoveAll(target)
	if err := fileutil.WritePayloads(target, response.GetFiles()); err != nil {
		return failed("driver: %s", strings.ReplaceAll(err.Error(), target, ""))
	}
	mounted := answer{files: map[string]file{}, versions: map[string]string{}}
	for _, f := range response.GetFiles() {
		digest := fmt.Sprintf("%x", sha256.Sum256(f.GetContents()))
		mounted.files[f.GetPath()] = file{f.GetMode(), len(f.GetContents()), digest[:16]}
	}
	for _, version := range response.GetObjectVersion() {
		mounted.versions[version.GetId()] = version.GetVersion()
	}
	return mounted
}

// clone is a copy that may be changed.
func (a answer) clone() answer {
	return answer{a.failure, maps.Clone(a.files), maps.Clone(a.versions)}
}

func (a answer) mounts() bool {
	return a.failure == ""
}

// equal reports whether the two are the same for a pod. Texts of failures may differ.
func (a answer) equal(other answer) bool {
	if !a.mounts() || !other.mounts() {
		return a.mounts() == other.mounts()
	}
	return maps.Equal(a.files, other.files) && maps.Equal(a.versions, other.versions)
}

func (a answer) String() string {
	if !a.mounts() {
		return "fails: " + a.failure
	}
	var text strings.Builder
	text.WriteString("mounts\n")
	for _, path := range slices.Sorted(maps.Keys(a.files)) {
		f := a.files[path]
		fmt.Fprintf(&text, "    %q mode %04o, %d bytes, SHA-256 %s\n", path, f.mode, f.size, f.digest)
	}
	for _, id := range slices.Sorted(maps.Keys(a.versions)) {
		fmt.Fprintf(&text, "    %q is version %s\n", id, a.versions[id])
	}
	return strings.TrimSuffix(text.String(), "\n")
}
