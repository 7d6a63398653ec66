package peer

const (
	// same is the rule of answers that do not differ.
	same = ""
	// unexplained is that of answers that no rule explains.
	unexplained = "?"
)

// explain names the rule by which the answers differ.
func explain(r *request, theirs, ours answer) string {
	if theirs.equal(ours) {
		return same
	}
	return unexplained
}
