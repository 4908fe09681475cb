package trace

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
	"sallyport/internal/trace/index"
	"sallyport/internal/trace/query"
)

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// house is a store with the options to open its log again and again.
type house struct {
	t     testing.TB
	st    store.Store
	o     Options
	clock *clock
	logs  *bytes.Buffer
}

func newHouse(t testing.TB) *house {
	t.Helper()
	secret, err := NewKey(rand.Reader, "mx.local.test/trace")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseKey(secret + "\n")
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{t: testTime()}
	logs := &bytes.Buffer{}
	return &house{t: t, st: mem.New(), clock: c, logs: logs, o: Options{
		Origin: "mx.local.test/trace", Key: key, CheckpointDir: t.TempDir(), Limits: DefaultLimits(),
		Now: c.now, Rand: rand.Reader, Logger: slog.New(slog.NewTextHandler(logs, nil)),
	}}
}

func (h *house) open() *Log {
	h.t.Helper()
	l, err := Open(context.Background(), h.st, h.o)
	if err != nil {
		h.t.Fatal(err)
	}
	return l
}

// deliver writes the facts of one message from alice to the recipient.
func (h *house) deliver(l *Log, n int, to string) mail.ID {
	h.t.Helper()
	id := testID(h.t, n)
	conn := fmt.Sprintf("c%d", n)
	peer := netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)})
	at := h.clock.now()
	err := l.Write(context.Background(),
		fact.Fact{At: at, Kind: fact.KindDisconnect, Conn: conn, Peer: peer, Door: "submission"},
		fact.Fact{At: at, Kind: fact.KindAuth, Conn: conn, Peer: peer, Account: "alice@local.test", Reply: mail.R(235, "2.7.0", "welcome")},
		fact.Fact{At: at, Kind: fact.KindAccept, Conn: conn, Peer: peer, Queue: id, MessageID: fmt.Sprintf("<m%d@local.test>", n),
			Account: "alice@local.test", Sender: "alice@local.test", Recipients: []string{to}, Size: 1000, Rule: "submission-relay"},
		fact.Fact{At: at, Kind: fact.KindOutcome, Queue: id, Recipient: to, Remote: "mx.remote.test [203.0.113.9]:25", Reply: mail.R(250, "2.0.0", "taken")},
		fact.Fact{At: at, Kind: fact.KindDisconnect, Conn: conn, Peer: peer, Count: 1, Text: "quit"},
	)
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

func (h *house) ask(l *Log, text string) query.Answer {
	h.t.Helper()
	q, err := query.ParseQuery(text)
	if err != nil {
		h.t.Fatalf("ParseQuery(%q): %v", text, err)
	}
	a, err := h.reader(l).Query(context.Background(), q)
	if err != nil {
		h.t.Fatalf("Query(%q): %v", text, err)
	}
	return a
}

// reader reads what l keeps.
func (h *house) reader(l *Log) *query.Reader {
	h.t.Helper()
	r, err := query.New(query.Options{Store: h.st, Log: l, Limits: query.DefaultLimits(), Logger: h.o.Logger})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func kinds(a query.Answer) string {
	var list []string
	for _, e := range a.Entries {
		list = append(list, string(e.Fact.Kind))
	}
	return strings.Join(list, " ")
}

func (h *house) verify(l *Log) VerifyReport {
	h.t.Helper()
	r, err := l.Verify(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func sync1(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestStrangersAreSummedUpAndFound(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	for i := range 1000 {
		l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.KindRefuse, Rule: "mx-foreign", Conn: fmt.Sprintf("x%d", i), Door: "mx",
			Peer: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Sender: "spam@bad.test", Recipient: fmt.Sprintf("victim%d@far.test\x1b", i%3),
			Reply: mail.R(550, "5.7.1", "relaying denied")})
	}
	l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.KindDisconnect, Peer: netip.MustParseAddr("2001:db8::7"), Conn: "y"})
	// Seen at once, before anything flushed them, by sender, recipient, client,
	// network, and by a client that is no sample.
	for _, text := range []string{"spam@bad.test", `addr:victim1@far.test\x1b`, "192.0.2.3", "192.0.2.250", "192.0.2.0/24", "192.0.0.0/16", "x1"} {
		a := h.ask(l, text)
		if kinds(a) != "refuse" || a.Entries[0].Fact.Count != 1000 || a.Entries[0].Part != 1 {
			t.Errorf("%q: %+v", text, a)
		}
	}
	if got := kinds(h.ask(l, "2001:db8::7")); got != "disconnect" {
		t.Errorf("the other: %s", got)
	}
	f := h.ask(l, "spam@bad.test").Entries[0].Fact
	if f.Sender != "spam@bad.test" || len(f.Recipients) != 3 || !f.Network.IsValid() || f.Reply.Code != 550 {
		t.Errorf("%+v", f)
	}
	if head := h.st.FactHead(); head != 1 {
		t.Errorf("1001 facts of strangers became %d facts", head)
	}
	sync1(t, l)
	if r := h.verify(l); !r.OK() || r.Bundles != 1 {
		t.Errorf("%+v", r)
	}
}

// A flood of strangers stays within its memory, whatever it varies.
func TestAFloodOfStrangersIsBounded(t *testing.T) {
	h := newHouse(t)
	h.o.Limits.Groups = 50
	l := h.open()
	for i := range 20000 {
		l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.Kind([]fact.Kind{fact.KindRefuse, fact.KindDisconnect, "x"}[i%3]), Rule: "r", Conn: fmt.Sprint(i),
			Peer: netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 1}), Sender: strings.Repeat("s", 5000) + fmt.Sprint(i)})
	}
	if n := len(l.strangers.groups); n > 50+4 {
		t.Errorf("%d groups", n)
	}
	sync1(t, l)
	total, bodies := 0, 0
	err := h.st.Scan(context.Background(), store.Prefix([]byte(index.BodyPrefix)), func(_, v []byte) (bool, error) {
		f, err := fact.Decode(v)
		total, bodies = total+f.Count, bodies+1
		return true, err
	})
	if err != nil || total != 20000 || bodies > 54 {
		t.Errorf("%d facts in %d bodies, %v", total, bodies, err)
	}
}

func TestWindowsGrowUnderFireAndShrinkInQuiet(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	var waits []time.Duration
	for range 8 {
		l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.KindRefuse})
		due, _ := l.strangers.due()
		wait := due.Sub(h.clock.now())
		waits = append(waits, wait)
		h.clock.add(wait)
		if err := l.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(waits) != "[1s 2s 4s 8s 16s 32s 1m0s 1m0s]" {
		t.Errorf("windows under fire: %v", waits)
	}
	h.clock.add(2 * time.Minute)
	l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.KindRefuse})
	if due, ok := l.strangers.due(); !ok || due.Sub(h.clock.now()) != time.Second {
		t.Errorf("after quiet: %v", due)
	}
}

// failing refuses what a full disk refuses.
type failing struct {
	store.Store
	err error
}

func (f *failing) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.Store.Apply(ctx, tx, d)
}

func TestAFullDiskLosesNoStranger(t *testing.T) {
	h := newHouse(t)
	disk := &failing{Store: h.st}
	h.st = disk
	l := h.open()
	id := h.deliver(l, 1, "bob@remote.test")
	refuse := fact.Fact{At: h.clock.now(), Kind: fact.KindRefuse, Rule: "r", Peer: netip.MustParseAddr("192.0.2.1"), Recipient: "x@y.test"}
	disk.err = store.ErrUnavailable
	for range 3 {
		l.Stranger(refuse)
		if err := l.Flush(context.Background()); !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	// The log can still be read.
	if got := kinds(h.ask(l, id.String())); got != "disconnect auth accept outcome disconnect" {
		t.Errorf("with a full disk: %q", got)
	}
	disk.err = nil
	a := h.ask(l, "x@y.test")
	if kinds(a) != "refuse" || a.Entries[0].Fact.Count != 3 {
		t.Errorf("%+v", a)
	}
	sync1(t, l)
	if r := h.verify(l); !r.OK() {
		t.Error(r.Faults)
	}
}

// inDoubt commits and says that it does not know.
type inDoubt struct {
	store.Store
	doubt int
}

func (d *inDoubt) Apply(ctx context.Context, tx store.Tx, du store.Durability) (store.Revision, error) {
	r, err := d.Store.Apply(ctx, tx, du)
	if err == nil && d.doubt > 0 {
		d.doubt--
		return 0, store.ErrInDoubt
	}
	return r, err
}

func TestDoubtNeitherLosesNorRepeats(t *testing.T) {
	h := newHouse(t)
	disk := &inDoubt{Store: h.st}
	h.st = disk
	l := h.open()
	h.deliver(l, 1, "bob@remote.test")
	disk.doubt = 1
	if err := l.catchUp(context.Background()); !errors.Is(err, store.ErrInDoubt) {
		t.Fatal(err)
	}
	h.deliver(l, 2, "bob@remote.test")
	l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.KindRefuse, Recipient: "x@y.test"})
	disk.doubt = 1
	if err := l.Flush(context.Background()); !errors.Is(err, store.ErrInDoubt) {
		t.Fatal(err)
	}
	sync1(t, l)
	if a := h.ask(l, "x@y.test"); len(a.Entries) != 1 || a.Entries[0].Fact.Count != 1 {
		t.Errorf("%+v", a)
	}
	if r := h.verify(l); !r.OK() || r.Facts != 11 {
		t.Errorf("%+v", r)
	}
}

// The log goes on exactly where it was, however often and wherever it stopped.
func TestOpeningAgainGoesOn(t *testing.T) {
	h := newHouse(t)
	h.o.Limits.BatchFacts = 3
	for i := range 60 {
		l := h.open()
		h.deliver(l, i, "bob@remote.test")
		switch i % 3 {
		case 0:
			sync1(t, l)
		case 1:
			if _, err := l.step(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	l := h.open()
	sync1(t, l)
	r := h.verify(l)
	if !r.OK() || r.Size != 300 || r.Facts != 300 || r.Checkpoints < 20 {
		t.Fatalf("%+v", r)
	}
	if s := l.Stats(); s.Facts != 300 || s.Sequenced != 300 || s.Signed != 300 {
		t.Errorf("%+v", s)
	}
	if strings.Contains(h.logs.String(), "ERROR") {
		t.Error(h.logs)
	}
}

func TestProofsStandAlone(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	for i := range 20 {
		h.deliver(l, i, "bob@remote.test")
	}
	sync1(t, l)
	first, err := l.Prove(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	old, err := h.o.Key.Open(first.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 33 {
		h.deliver(l, 20+i, "bob@remote.test")
	}
	head := h.st.FactHead()
	var last Proof
	for seq := uint64(1); seq <= head; seq++ {
		p, err := l.Prove(context.Background(), head+1-seq)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Check(h.o.Key); err != nil {
			t.Fatalf("fact %d: %v", p.Seq, err)
		}
		if seq == 1 {
			last = p
		}
	}
	bad := last
	bad.Fact = append([]byte(nil), last.Fact...)
	bad.Fact[10] ^= 1
	if bad.Check(h.o.Key) == nil {
		t.Error("an altered fact has a proof")
	}
	bad = last
	bad.Seq--
	if bad.Check(h.o.Key) == nil {
		t.Error("a moved fact has a proof")
	}
	now, err := h.o.Key.Open(last.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	// The older tree is the beginning of the newer one. RFC 6962 §2.1.2.
	tree, err := tlog.ProveTree(now.Size, old.Size, chunkReader{ctx: context.Background(), st: l.st, chunks: map[int64][]byte{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckTree(tree, now.Size, now.Root, old.Size, old.Root); err != nil {
		t.Error(err)
	}
	for _, seq := range []uint64{0, head + 1} {
		if _, err := l.Prove(context.Background(), seq); err == nil {
			t.Errorf("there is a proof of fact %d", seq)
		}
	}
}

func TestCheckpointsOfOthersAreRefused(t *testing.T) {
	h, other := newHouse(t), newHouse(t)
	signed, err := other.o.Key.Sign(Checkpoint{Origin: h.o.Origin, Size: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.o.Key.Open(signed); !errors.Is(err, ErrSignature) {
		t.Errorf("%v", err)
	}
	if c, err := other.o.Key.Open(signed); err != nil || c.Size != 3 {
		t.Errorf("%v %v", c, err)
	}
	if _, err := (Key{}).Open(signed); !errors.Is(err, ErrSignature) {
		t.Error("the zero key opens checkpoints")
	}
	if _, err := (Key{}).Sign(Checkpoint{}); err == nil {
		t.Error("the zero key signs")
	}
	for _, text := range []string{"", "x", "PRIVATE+KEY+a+b+c", h.o.Key.Public()} {
		if _, err := ParseKey(text); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	h := newHouse(t)
	for name, spoil := range map[string]func(*Options){
		"no key":    func(o *Options) { o.Key = Key{} },
		"origin":    func(o *Options) { o.Origin = "other" },
		"no folder": func(o *Options) { o.CheckpointDir = "" },
		"no clock":  func(o *Options) { o.Now = nil },
		"no chance": func(o *Options) { o.Rand = nil },
		"no logger": func(o *Options) { o.Logger = nil },
		"no limits": func(o *Options) { o.Limits = Limits{} },
		"a limit":   func(o *Options) { o.Limits.Faults = 0 },
		"samples":   func(o *Options) { o.Limits.Samples = 9 },
	} {
		o := h.o
		spoil(&o)
		if _, err := Open(context.Background(), h.st, o); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestHistoryIsKeptByDayAndBounded(t *testing.T) {
	h := newHouse(t)
	h.o.Limits.HistoryFiles = 3
	l := h.open()
	for i := range 12 {
		h.deliver(l, i, "bob@remote.test")
		sync1(t, l)
		h.clock.add(12 * time.Hour)
	}
	names, err := historyFiles(h.o.CheckpointDir)
	if err != nil || len(names) != 3 || names[2] != "checkpoints-2026-12-03.txt" {
		t.Fatalf("%v %v", names, err)
	}
	n := 0
	err = readHistory(filepath.Join(h.o.CheckpointDir, names[1]), func(signed []byte) {
		n++
		if _, err := h.o.Key.Open(signed); err != nil {
			t.Errorf("%v: %q", err, signed)
		}
	})
	if err != nil || n != 2 {
		t.Errorf("%d checkpoints of one day, %v", n, err)
	}
	list, err := os.ReadDir(h.o.CheckpointDir)
	if err != nil || len(list) != 4 {
		t.Errorf("files left behind: %v %v", list, err)
	}
}
