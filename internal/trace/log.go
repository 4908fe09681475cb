package trace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/damage"
	"sallyport/internal/fact"
	"sallyport/internal/store"
	"sallyport/internal/trace/index"
)

var (
	// ErrRunning means that Run was called while it runs.
	ErrRunning = errors.New("trace: the sequencer is already running")
	// ErrBroken means that the store lacks facts or hashes that it once had.
	ErrBroken = errors.New("trace: the log is broken")
)

// Rules of this package's own; all others are named by the package that decides.
const (
	// RuleOverflow stands for every rule in a group that takes what no longer fits into
	// the memory for strangers: one of all, and one of each IPv4 /20 or IPv6 /56 that has
	// used up its part.
	RuleOverflow = "strangers-overflow"
	// RuleRetention removed the bodies of old facts.
	RuleRetention = "trace-retention"
	// RuleRollback found the store older than a checkpoint that was exported.
	RuleRollback = "trace-rollback"
	// RuleLost stands in the place of a fact that the disk has lost.
	RuleLost = "trace-lost"
)

// Options of a Log. All are needed but Age, Observe and Damage.
type Options struct {
	// Origin names this log in its checkpoints, such as "mx.example/trace". It
	// must be the name that the key was made with.
	Origin string
	Key    Key
	// CheckpointDir is the folder to which checkpoints are exported: the newest
	// as "checkpoint", older ones by day. An administrator copies it to another
	// machine, or an auditor fetches it.
	CheckpointDir string
	Limits        Limits // to begin with; Adjust replaces them
	Now           func() time.Time
	// Age is how much time has passed since the clock showed a moment, whatever it was set to; nil: by Now.
	Age    func(time.Time) time.Duration
	Rand   io.Reader // crypto/rand.Reader in a server
	Logger *slog.Logger
	// Observe is called with each fact in the order of the log, by one goroutine
	// of Run. When it is slow, facts are skipped for it, and the number logged.
	Observe func(fact.Fact)
	// Damage is told where the store and a checkpoint contradict each other; nil: the log and the trace are.
	Damage damage.Note
}

// Log is the trace of one server. Its methods may be called concurrently.
type Log struct {
	st     store.Store
	o      Options
	limits atomic.Pointer[Limits]

	sequencing sync.Mutex // guards tree, stale and signed; held while a batch commits
	tree       tree
	stale      bool // the store may be ahead of memory
	signed     int64
	signedAt   time.Time
	historyAt  time.Time

	retaining sync.Mutex // held while bodies are removed or verified
	retainAt  time.Time  // when Run looks for old facts next
	at        atomic.Pointer[progress]
	running   atomic.Bool
	strangers strangers
	observed  chan fact.Fact
	skipped   atomic.Int64
}

// progress is how far the sequencer and the retention came. It is stored with
// every batch, so that both go on after a crash exactly where they were.
type progress struct {
	Next   uint64 `json:"next"`   // first fact that is in neither tree nor index
	Oldest uint64 `json:"oldest"` // first fact whose body is kept
	Bodies int64  `json:"bodies"` // bodies of strangers' facts
	// Stretched is the first fact that is not filed as format 1 did; its records lack it.
	Stretched uint64 `json:"stretched,omitempty"`

	raw []byte // as stored; nil when nothing is stored yet
}

func (p progress) size() int64 { return int64(p.Next - 1) }

func (p progress) layout() index.Layout { return index.Layout{Stretched: p.Stretched} }

// none is the progress of a log that has no facts yet.
func none() progress { return progress{Next: 1, Oldest: 1, Stretched: 1} }

// readProgress reads what was stored. What format 1 wrote has its index before Next.
func readProgress(raw []byte) (progress, error) {
	var p progress
	if err := json.Unmarshal(raw, &p); err != nil || p.Next < 1 || p.Oldest < 1 {
		return none(), fmt.Errorf("%w: its progress record does not read", ErrBroken)
	}
	if p.Stretched == 0 {
		p.Stretched = p.Next
	}
	p.raw = raw
	return p, nil
}

// Open prepares the log in st: it reads where the sequencer stopped, takes the
// facts that a crash left out, makes anew what the disk has lost of the tree, and compares the store with the newest
// exported checkpoint. A store that is older than the checkpoint, or differs from it, is
// reported by an alarm in log and trace, and does not stop the server.
func Open(ctx context.Context, st store.Store, o Options) (*Log, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Age == nil {
		o.Age = func(t time.Time) time.Duration { return o.Now().Sub(t) }
	}
	l := &Log{st: st, o: o, observed: make(chan fact.Fact, o.Limits.Observed)}
	l.limits.Store(&o.Limits)
	l.strangers.open()
	if err := l.reload(ctx); errors.Is(err, ErrBroken) || err == nil && l.at.Load().raw == nil && st.FactHead() > 0 {
		if err := l.rewind(ctx, err); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	if err := l.catchUp(ctx); err != nil {
		return nil, err
	}
	if err := l.openCheckpoints(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// Adjust replaces the limits; unfit ones change nothing. How many facts wait for
// Observe stays as it was.
func (l *Log) Adjust(to Limits) error {
	if err := to.check(); err != nil {
		return err
	}
	l.limits.Store(&to)
	return nil
}

// Bounds returns the limits in force.
func (l *Log) Bounds() Limits { return *l.bounds() }

func (l *Log) bounds() *Limits { return l.limits.Load() }

func (o Options) check() error {
	switch {
	case o.Now == nil || o.Rand == nil || o.Logger == nil:
		return errors.New("trace: a clock, a source of chance and a logger are needed")
	case o.CheckpointDir == "":
		return errors.New("trace: a folder for checkpoints is needed")
	case o.Key.Origin() == "" || o.Key.Origin() != o.Origin:
		return fmt.Errorf("trace: the signing key is for the log %q, not for %q", o.Key.Origin(), o.Origin)
	}
	return o.Limits.check()
}

// Write records facts that accompany no other change: a connection, an attempt.
// They are ordered at once and synced with the next durable commit or checkpoint.
func (l *Log) Write(ctx context.Context, facts ...fact.Fact) error {
	if len(facts) == 0 {
		return nil
	}
	_, err := l.st.Apply(ctx, store.Tx{Facts: fact.EncodeAll(facts...)}, store.Lazy)
	return err
}

// Keep records facts as Write does, and they are synced when it returns: for what is acknowledged to
// somebody and stands nowhere else here.
func (l *Log) Keep(ctx context.Context, facts ...fact.Fact) error {
	if len(facts) == 0 {
		return nil
	}
	_, err := l.st.Apply(ctx, store.Tx{Facts: fact.EncodeAll(facts...)}, store.Durable)
	return err
}

// Next returns the first fact that is in neither tree nor index yet.
func (l *Log) Next() uint64 { return l.at.Load().Next }

// Oldest returns the first fact whose body is kept.
func (l *Log) Oldest() uint64 { return l.at.Load().Oldest }

// Layout says where in the index facts are filed.
func (l *Log) Layout() index.Layout { return l.at.Load().layout() }

// Stats is the state of a log in figures.
type Stats struct {
	Facts     uint64    `json:"facts"`     // ever committed
	Sequenced uint64    `json:"sequenced"` // of them in tree and index
	Oldest    uint64    `json:"oldest"`    // first whose body is kept
	Strangers int64     `json:"strangers"` // bodies of strangers' facts kept
	Signed    int64     `json:"signed"`    // size of the newest checkpoint
	SignedAt  time.Time `json:"signed_at,omitzero"`
	Skipped   int64     `json:"skipped"` // facts that Observe was too slow for
}

// Stats returns the state of the log.
func (l *Log) Stats() Stats {
	p := l.at.Load()
	l.sequencing.Lock()
	defer l.sequencing.Unlock()
	return Stats{
		Facts: l.st.FactHead(), Sequenced: p.Next - 1, Oldest: p.Oldest, Strangers: p.Bodies,
		Signed: l.signed, SignedAt: l.signedAt, Skipped: l.skipped.Load(),
	}
}

// reload reads progress and tree from the store. The caller holds sequencing, or
// is Open.
func (l *Log) reload(ctx context.Context) error {
	p := none()
	raw, err := l.st.Get(ctx, []byte(stateKey))
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return err
	default:
		if p, err = readProgress(raw); err != nil {
			return err
		}
	}
	if head := l.st.FactHead(); head < p.Next-1 {
		return fmt.Errorf("%w: %d facts were indexed, the store has only %d", ErrBroken, p.Next-1, head)
	}
	t, err := loadTree(ctx, l.st, p.size())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	l.tree, l.stale = t, false
	l.at.Store(&p)
	return nil
}

// advance commits tx together with a step of progress, on condition that nobody
// else made one. The caller holds sequencing.
func (l *Log) advance(ctx context.Context, tx store.Tx, to progress, d store.Durability) error {
	from := l.at.Load()
	raw, err := json.Marshal(to)
	if err != nil {
		return err
	}
	to.raw = raw
	tx.Preconditions = append(tx.Preconditions, store.Precondition{Key: []byte(stateKey), Value: from.raw, Absent: from.raw == nil})
	tx.Mutations = append(tx.Mutations, store.Mutation{Key: []byte(stateKey), Value: raw})
	if _, err := l.st.Apply(ctx, tx, d); err != nil {
		// A transaction in doubt may yet commit: look before the next step.
		l.stale = true
		return err
	}
	l.at.Store(&to)
	return nil
}

// fresh makes sure that memory is not behind the store. The caller holds
// sequencing.
func (l *Log) fresh(ctx context.Context) error {
	if !l.stale {
		return nil
	}
	return l.reload(ctx)
}
