package trace

import (
	"errors"
	"time"

	"sallyport/internal/fact"
)

// Limits are the bounds of a Log. Start from DefaultLimits; a zero where a bound
// is needed makes Open fail.
type Limits struct {
	// BatchFacts is how many facts the sequencer takes at once.
	BatchFacts int
	// BatchDelay is how long it waits for more after the first.
	BatchDelay time.Duration
	// RetryEvery is how long it waits after the store failed.
	RetryEvery time.Duration
	// Finish is how long Run may take to write what is left when it is stopped.
	Finish time.Duration

	// CheckpointEvery is the least time between two checkpoints.
	CheckpointEvery time.Duration
	// CheckpointFacts makes a checkpoint earlier after so many facts.
	CheckpointFacts int64
	// HistoryEvery is the least time between two checkpoints in the history.
	HistoryEvery time.Duration
	// HistoryFiles is how many days of checkpoint history are kept.
	HistoryFiles int

	// Keep is how long the bodies of facts are kept.
	Keep time.Duration
	// KeepFacts is how many of them are kept at most.
	KeepFacts uint64
	// StrangersKeep is how long the bodies of strangers' facts are kept.
	StrangersKeep time.Duration
	// StrangersFacts is how many of them are kept at most.
	StrangersFacts int64
	// RetainEvery is the time between two looks for old facts.
	RetainEvery time.Duration

	// Groups is how many groups of strangers' facts are in memory at once; one
	// more for each kind takes what does not fit. An IPv4 /20 and an IPv6 /56 have a
	// sixteenth of them at most, and one of their own for each kind that takes what more
	// comes from there.
	Groups int
	// Samples is how many different senders, recipients, clients, connections,
	// greetings, answers and details each group remembers.
	Samples int
	// FlushFirst is how long the first strangers' facts after a quiet time wait
	// to be written; while more come, the time doubles up to FlushLast.
	FlushFirst, FlushLast time.Duration

	// Observed is how many facts wait for a slow Observe before some are skipped.
	Observed int
	// Faults is how many faults one verification lists.
	Faults int
}

// DefaultLimits are right for a server of any size.
func DefaultLimits() Limits {
	return Limits{
		BatchFacts:      2048,
		BatchDelay:      20 * time.Millisecond,
		RetryEvery:      time.Second,
		Finish:          10 * time.Second,
		CheckpointEvery: 5 * time.Second,
		CheckpointFacts: 50_000,
		HistoryEvery:    5 * time.Minute,
		HistoryFiles:    400,
		Keep:            400 * 24 * time.Hour,
		KeepFacts:       200_000_000,
		StrangersKeep:   30 * 24 * time.Hour,
		StrangersFacts:  500_000,
		RetainEvery:     10 * time.Minute,
		Groups:          1024,
		Samples:         5,
		FlushFirst:      time.Second,
		FlushLast:       time.Minute,
		Observed:        1024,
		Faults:          100,
	}
}

// check refuses limits under which the log could not work or would have none.
func (l Limits) check() error {
	for _, n := range []int64{
		int64(l.BatchFacts), int64(l.RetryEvery), int64(l.Finish), int64(l.CheckpointEvery), l.CheckpointFacts,
		int64(l.HistoryEvery), int64(l.HistoryFiles), int64(l.Keep), int64(min(l.KeepFacts, 1)),
		int64(l.StrangersKeep), l.StrangersFacts, int64(l.RetainEvery), int64(l.Groups), int64(l.Samples),
		int64(l.FlushFirst), int64(l.FlushLast), int64(l.Observed), int64(l.Faults),
	} {
		if n <= 0 {
			return errors.New("trace: every limit must be positive; begin with DefaultLimits")
		}
	}
	// Six lists of samples share the evidence of one fact.
	if l.Samples > fact.MaxEvidence/6 || l.BatchDelay < 0 {
		return errors.New("trace: a limit is out of range")
	}
	return nil
}
