package inflow

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/screen"
	"sallyport/internal/store"
)

const (
	// keepFrom is how long a line must need to fill before it is written.
	keepFrom = time.Minute
	// sweepEvery is how often lines are dropped that are full again, and sweepSoon how often
	// at most where there is no room for another.
	sweepEvery = 10 * time.Minute
	sweepSoon  = time.Second
	// sweepMost is how many are dropped at once, so that it is one act of the store.
	sweepMost = 10_000
	// toldFor is how long a line that refused is told of.
	toldFor = time.Hour
)

// kind is what a line is about.
type kind byte

const (
	kindClient  kind = 'c' // connections and recipients of a network; in memory alone
	kindNetwork kind = 'n'
	kindShare   kind = 's'
	kindMailbox kind = 'm'
)

// key names a line.
type key struct {
	of   kind
	name string
}

// others is the line of all for which there was no room.
const others = "*"

// line is what is left of the bounds of one party: messages and octets, and as the third what
// the kind has besides. Of a client it is connections and recipients.
type line struct {
	messages, octets, further screen.Bucket
	held                      int // charges that it belongs to
	written                   bool
	refused                   time.Time // last; zero: never
	rule                      Rule      // by which
}

// isFull reports whether there is nothing to remember at a moment.
func (l *line) isFull(now time.Time) bool {
	return l.messages.IsFull(now) && l.octets.IsFull(now) && l.further.IsFull(now)
}

// Options of a Budget; all but Room and Passed are needed.
type Options struct {
	Limits Limits
	Room   Room // what mailboxes may hold; nil: any amount
	Now    func() time.Time
	// Passed is the time by which bounds fill again, whatever the clock was set to; nil: Now.
	Passed func() time.Time
	Logger *slog.Logger
}

// Budget keeps what was let through. It is safe for concurrent use.
type Budget struct {
	st store.Store
	o  Options

	mu    sync.Mutex
	lines map[key]*line
	many  map[kind]int
	swept time.Time
	hits  map[Rule]Hit
	since time.Time
}

// Open reads what was kept. A line that cannot be read stands for one that is used up.
func Open(ctx context.Context, st store.Store, o Options) (*Budget, error) {
	if o.Passed == nil {
		o.Passed = o.Now
	}
	b := &Budget{st: st, o: o, lines: map[key]*line{}, many: map[kind]int{}, hits: map[Rule]Hit{}, since: o.Now(), swept: o.Passed()}
	err := st.Scan(ctx, store.SpaceInflow.All(), func(k, v []byte) (bool, error) {
		name := k[len(store.SpaceInflow):]
		if len(name) < 2 {
			return true, nil
		}
		at := key{kind(name[0]), string(name[1:])}
		l, err := decode(v)
		if err != nil {
			o.Logger.Error("what a party brought cannot be read; it counts as all that it may bring",
				"key", mail.Printable(string(k), mail.ReplyShown), "err", err)
			used := func(r Rule) screen.Bucket { return o.Limits.bound(r).rate().Begun(o.Passed(), 0) }
			l = &line{messages: used(RuleMailboxMessages), octets: used(RuleMailboxOctets), further: used(RuleReplies)}
		}
		l.written = true
		b.lines[at] = l
		b.many[at.of]++
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("inflow: reading what was let through: %w", err)
	}
	return b, nil
}

// Adjust replaces the limits.
func (b *Budget) Adjust(l Limits) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.o.Limits = l
}

// line returns a line, made if there is none; the lock is held. Where there is no room it is
// the one of all others.
func (b *Budget) line(k key, now time.Time) (*line, key) {
	if l := b.lines[k]; l != nil {
		return l, k
	}
	if k.name != others && b.many[k.of] >= b.o.Limits.Lines {
		if d := now.Sub(b.swept); d >= sweepSoon || d < 0 {
			b.sweep(context.Background(), now, true)
		}
		if b.many[k.of] >= b.o.Limits.Lines {
			return b.line(key{k.of, others}, now)
		}
	}
	l := &line{}
	b.lines[k] = l
	if k.name != others {
		b.many[k.of]++
	}
	return l, k
}

// Tend drops what is full again, until ctx ends.
func (b *Budget) Tend(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(sweepEvery):
			b.mu.Lock()
			b.sweep(ctx, b.o.Passed(), false)
			b.mu.Unlock()
		}
	}
}

// sweep drops the lines that have nothing to remember; the lock is held, so that a line that
// begins again is written after this. crowded: those too of which something could be told.
func (b *Budget) sweep(ctx context.Context, now time.Time, crowded bool) {
	b.swept = now
	var gone []store.Mutation
	for k, l := range b.lines {
		if l.held > 0 || !l.isFull(now) || !crowded && b.o.Now().Sub(l.refused) < toldFor {
			continue
		}
		if l.written {
			if len(gone) == sweepMost {
				continue
			}
			gone = append(gone, store.Mutation{Key: k.stored(), Delete: true})
		}
		delete(b.lines, k)
		if k.name != others {
			b.many[k.of]--
		}
	}
	if len(gone) == 0 {
		return
	}
	if _, err := b.st.Apply(context.WithoutCancel(ctx), store.Tx{Mutations: gone}, store.Lazy); err != nil {
		b.o.Logger.Warn("what parties brought long ago is not tidied", "err", err) // it is when it is read again
	}
}

// stored is the key of a line in the store.
func (k key) stored() []byte {
	return store.SpaceInflow.Key([]byte{byte(k.of)}, []byte(k.name))
}

// lineVersion is the first octet of a stored line; no other is read.
const lineVersion = 1

var errLine = errors.New("inflow: not a line")

func (l *line) encode() []byte {
	out := []byte{lineVersion}
	for _, b := range []screen.Bucket{l.messages, l.octets, l.further} {
		n := int64(0)
		if at := b.FullAt(); !at.IsZero() {
			n = at.UnixNano()
		}
		out = binary.BigEndian.AppendUint64(out, uint64(n))
	}
	return out
}

// stampOctets is how long a stored time is.
const stampOctets = 8

func decode(v []byte) (*line, error) {
	r := codec.NewReader(v)
	r.Require(r.Octet() == lineVersion)
	l := &line{}
	for _, b := range []*screen.Bucket{&l.messages, &l.octets, &l.further} {
		if p := r.Take(stampOctets); len(p) == stampOctets {
			if n := int64(binary.BigEndian.Uint64(p)); n != 0 {
				*b = screen.FilledAt(time.Unix(0, n))
			}
		}
	}
	if !r.Done() {
		return nil, errLine
	}
	return l, nil
}

// Hit is how often a rule refused.
type Hit struct {
	Rule  Rule
	Text  string // the rule with its bound
	Hits  int64
	Last  time.Time // zero: never
	Since time.Time // from when on it is counted
}

// Hits returns every rule with how often it refused since the start.
func (b *Budget) Hits() (all []Hit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range Rules() {
		h := b.hits[r]
		h.Rule, h.Text, h.Since = r, string(r)+": "+b.o.Limits.bound(r).words(r.what()), b.since
		all = append(all, h)
	}
	for _, r := range quotaRules() {
		h := b.hits[r]
		h.Rule, h.Text, h.Since = r, string(r)+": "+r.bounding(), b.since
		all = append(all, h)
	}
	return all
}

// Limited is a party that met a bound of late.
type Limited struct {
	Rule  Rule      `json:"rule"`
	About string    `json:"about"`
	Last  time.Time `json:"last"`
}

// Limited returns the parties that were refused something within the last hour, the latest
// first, and at most so many.
func (b *Budget) Limited(most int) (all []Limited) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now()
	for k, l := range b.lines {
		if !l.refused.IsZero() && now.Sub(l.refused) < toldFor {
			all = append(all, Limited{l.rule, k.String(), l.refused})
		}
	}
	slices.SortFunc(all, func(x, y Limited) int {
		if c := y.Last.Compare(x.Last); c != 0 {
			return c
		}
		return strings.Compare(x.About, y.About)
	})
	return all[:min(len(all), max(most, 0))]
}

// String names whose line it is.
func (k key) String() string {
	if k.name == others {
		return "all others together"
	}
	switch k.of {
	case kindMailbox:
		return "mailbox " + k.name
	case kindShare:
		if words := strings.SplitN(k.name, " ", 3); len(words) == 3 {
			return words[0] + " " + words[1] + " to mailbox " + words[2]
		}
	}
	return "network " + k.name
}
