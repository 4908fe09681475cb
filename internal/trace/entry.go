package trace

// Entry is a fact with its place in the log.
type Entry struct {
	Seq  uint64 `json:"seq"` // sequence number; the record in the tree is Seq-1
	Fact Fact   `json:"fact"`
}
