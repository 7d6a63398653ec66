package peer

import (
	"maps"
	"slices"
	"strings"
)

// attempts bounds the work on one request.
const attempts = 300

// shrink takes parts of a request away as long as an unexplained difference of the same kind remains.
func shrink(pair *pair, r *request) (*request, error) {
	theirs, ours, err := pair.mount(r)
	if err != nil {
		return nil, err
	}
	theyMount, weMount := theirs.mounts(), ours.mounts()
	kind, left := differ(theirs, ours), attempts
	remains := func(candidate *request) (bool, error) {
		if left--; left < 0 {
			return false, nil
		}
		theirs, ours, err := pair.mount(candidate)
		return differ(theirs, ours).within(kind) && theirs.mounts() == theyMount && ours.mounts() == weMount &&
			explain(candidate, theirs, ours) == unexplained, err
	}
	for _, key := range slices.Sorted(maps.Keys(r.parameters)) {
		candidate := r.clone()
		delete(candidate.parameters, key)
		if smaller, err := remains(candidate); err != nil {
			return nil, err
		} else if smaller {
			r = candidate
		}
	}
	for size := len(strings.Split(r.objects(), "\n")); size > 0; size /= 2 {
		for at := 0; ; {
			lines := strings.Split(r.objects(), "\n")
			if at+size > len(lines) {
				break
			}
			candidate := r.clone()
			candidate.parameters["objects"] = strings.Join(slices.Concat(lines[:at], lines[at+size:]), "\n")
			smaller, err := remains(candidate)
			if err != nil {
				return nil, err
			}
			if smaller {
				r = candidate
			} else {
				at++
			}
		}
	}
	return r, nil
}
