package cuts

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
)

const (
	folder   = "queue"
	lazyTime = 50 * time.Millisecond
	large    = 150 << 10 // a body of this size is a file
)

// ctx ends never: what is tried here does not wait for others.
func ctx() context.Context { return context.Background() }

// openQueue opens a queue on a disk, whose database gathers so little in memory that it writes tables,
// and puts them together, within a short history.
func openQueue(fs vfs.FS, now func() time.Time) (store.Store, *spool.Spool, spool.Report, error) {
	st, err := pebble.Open(pebble.Options{FS: fs, Dir: folder, MinFree: 1, MemTableOctets: 64 << 10, LazyTime: lazyTime})
	if err != nil {
		return nil, nil, spool.Report{}, err
	}
	key, err := gate.NewKey(bytes.Repeat([]byte("k"), gate.KeyOctets))
	if err != nil {
		return nil, nil, spool.Report{}, err
	}
	q, r, err := spool.Open(ctx(), st, spool.Options{Key: key, Policy: sched.Default(), Now: now, Logger: slog.New(slog.DiscardHandler)})
	return st, q, r, err
}

// place is where a message is.
type place string

const (
	waiting place = "waiting"
	held    place = "held"
	gone    place = "gone"
)

// message is what is known of a message. What an act changes that is under way, or not synced yet,
// was one and is the other.
type message struct {
	content string
	account string
	was, is place
	born    mail.ID // of whose settlement it came, in one act; zero: it was accepted
}

// knowledge is what the world was told of the queue until a moment.
type knowledge struct {
	messages map[mail.ID]message
	accounts map[string][2]bool // was held, is held
	issued   []string           // the facts of all acts, in their order
	durable  int                // how many of them had to be durable
}

func (k knowledge) clone() knowledge {
	return knowledge{maps.Clone(k.messages), maps.Clone(k.accounts), slices.Clone(k.issued), k.durable}
}

// settled makes what happened until now the only thing that may be.
func (k *knowledge) settled() {
	for id, m := range k.messages {
		m.was = m.is
		k.messages[id] = m
	}
	for a, h := range k.accounts {
		k.accounts[a] = [2]bool{h[1], h[1]}
	}
	k.durable = len(k.issued)
}

// blackout is a moment at which the power went, and what was known then.
type blackout struct {
	moment string
	number int
	left   remains
	knowledge
}

// history is one run of the script.
type history struct {
	t     *testing.T
	seed  uint64
	every int        // every so manieth operation of the disk is a cut
	rng   *rand.Rand // decides what happens
	mem   *vfs.MemFS
	disk  *disk
	st    store.Store
	q     *spool.Spool

	knowledge
	claims map[mail.ID]spool.Claim
	order  []mail.ID // of messages, since a map has none
	step   string
	acts   map[string]int
	mu     sync.Mutex // of what operations count
	ops    int
	kinds  map[kind]int
	tables int // that were removed again: what putting tables together leaves behind
	cuts   []blackout
}

// operation is called before each operation of the disk.
func (h *history) operation(k kind, path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops++
	h.kinds[k]++
	if k == kindRemove && strings.HasSuffix(path, ".sst") {
		h.tables++
	}
	if h.ops%h.every != 0 {
		return
	}
	b := blackout{moment: moment(h.step, h.ops, k, path), number: h.ops, knowledge: h.knowledge.clone()}
	h.disk.stopped(func() { b.left = cut(h.mem, chance(h.seed, h.ops)) })
	h.cuts = append(h.cuts, b)
}

// chance is the chance of one cut.
func chance(seed uint64, n int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(n))) }

// play runs the script for so many acts. It is one after the other, and each waits until nothing
// moves, so that the seed decides all but which of two goroutines of the database is first within
// one act.
func play(t *testing.T, seed uint64, acts, every int) *history {
	h := &history{
		t: t, seed: seed, every: every, rng: rand.New(rand.NewPCG(seed, 0)), mem: vfs.NewCrashableMem(),
		knowledge: knowledge{messages: map[mail.ID]message{}, accounts: map[string][2]bool{}},
		claims:    map[mail.ID]spool.Claim{}, acts: map[string]int{}, kinds: map[kind]int{},
	}
	h.disk = &disk{FS: h.mem, before: h.operation}
	synctest.Test(t, func(*testing.T) {
		h.open()
		script := h.script()
		for range acts {
			h.act(script)
		}
		h.must(h.st.Close())
	})
	return h
}

func (h *history) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%s: %v", h.step, err)
	}
}

func (h *history) open() {
	st, q, _, err := openQueue(h.disk, time.Now)
	h.must(err)
	h.st, h.q = st, q
	clear(h.claims) // whoever had one is gone
}

// act does one thing that can be done now, and waits until nothing moves.
func (h *history) act(script []step) {
	for {
		s := script[h.rng.IntN(len(script))]
		h.mu.Lock()
		h.step = fmt.Sprintf("act %d (%s)", len(h.issued), s.name)
		h.mu.Unlock()
		if s.do() {
			h.acts[s.name]++
			synctest.Wait()
			return
		}
	}
}

// change says what an act is about to do, and returns its fact.
func (h *history) change(say func()) [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	say()
	h.issued = append(h.issued, h.step)
	return [][]byte{[]byte(h.step)}
}

// becomes is a change of one message.
func (h *history) becomes(id mail.ID, p place) {
	m := h.messages[id]
	m.is = p
	h.messages[id] = m
}

// durable notes that all that happened until now is on the disk.
func (h *history) synced(err error) bool {
	h.t.Helper()
	h.must(err)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.settled()
	return true
}

// one chooses a message for which ok holds; false if there is none.
func (h *history) one(ok func(mail.ID, message) bool) (mail.ID, bool) {
	var all []mail.ID
	for _, id := range h.order {
		if ok(id, h.messages[id]) {
			all = append(all, id)
		}
	}
	if len(all) == 0 {
		return mail.ID{}, false
	}
	return all[h.rng.IntN(len(all))], true
}
