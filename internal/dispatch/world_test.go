package dispatch_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/directory"
	"sallyport/internal/dispatch"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/returnpath/srs"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

const (
	prefix = "Received: from nowhere by mx.local.test;\r\n\tnow\r\n"
	letter = "From: alice@local.test\r\nSubject: hello\r\n\r\nThe body.\r\n"
)

// world is everything around the way out, made of the real rooms on a store in
// memory; only the targets play a part. It lives in a bubble of fake time.
type world struct {
	t        *testing.T
	disk     *disk
	identity *accounts.Identity
	spool    *spool.Spool
	counts   *ledger.Ledger
	budget   budget.Limits // of each forward and target
	dir      atomic.Pointer[directory.Snapshot]
	limits   dispatch.Limits
	returns  srs.Key
	sign     func(mail.Address, time.Time) (mail.Address, bool)
	forwards []directory.Forward
	low      func(int64) bool
	answered func(context.Context, dispatch.Answers) // who watches accounts
	asleep   bool                                    // forwards may not leave
	mailbox  mail.Address                            // of the recipients of what is put, if it is set
	queue    spool.Limits
	// wrap gives dispatch another queue, if it is set.
	wrap   func(*spool.Spool) dispatch.Queue
	policy sched.Policy
	logged syncBuffer

	local  *target
	routes map[string]*target // by domain
	// outside takes what no route leads to, if it is set.
	outside func(mail.Address) (nexthop.Target, bool)

	dispatch *dispatch.Dispatch
	soft     context.CancelFunc
	hard     context.CancelFunc
	ended    chan struct{}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// disk is a store that can fail, and that counts.
type disk struct {
	store.Store
	full  atomic.Bool
	gets  atomic.Int64
	mu    sync.Mutex
	facts [][]fact.Fact // of each transaction that has any
	// veto refuses a transaction by its facts, as a disk that fails just then does.
	veto func([]fact.Fact) bool
}

func (d *disk) Apply(ctx context.Context, tx store.Tx, how store.Durability) (store.Revision, error) {
	var facts []fact.Fact
	for _, b := range tx.Facts {
		f, err := fact.Decode(b)
		if err != nil {
			return 0, err
		}
		facts = append(facts, f)
	}
	d.mu.Lock()
	veto := d.veto != nil && d.veto(facts)
	d.mu.Unlock()
	if veto || d.full.Load() {
		return 0, store.ErrUnavailable
	}
	rev, err := d.Store.Apply(ctx, tx, how)
	if err == nil && len(facts) > 0 {
		d.mu.Lock()
		d.facts = append(d.facts, facts)
		d.mu.Unlock()
	}
	return rev, err
}

func (d *disk) Get(ctx context.Context, key []byte) ([]byte, error) {
	d.gets.Add(1)
	return d.Store.Get(ctx, key)
}

// target plays a destination: fn answers for each recipient.
type target struct {
	name     string // who answers
	notifies bool   // it takes NOTIFY
	mute     bool   // the answers are what we found, and not its own
	fn       func(ctx context.Context, j nexthop.Job, to mail.Address) mail.Reply
	// raw answers for the whole job instead, if it is set.
	raw func(j nexthop.Job) []mail.Outcome

	mu      sync.Mutex
	jobs    []nexthop.Job
	at      []time.Time
	inside  int
	most    int
	texts   []string
	arrived map[string]int // how often each recipient's delivery succeeded
}

func (g *target) Deliver(ctx context.Context, j nexthop.Job) []mail.Outcome {
	text := read(j)
	g.mu.Lock()
	g.jobs, g.at, g.texts = append(g.jobs, j), append(g.at, time.Now()), append(g.texts, text)
	g.inside++
	g.most = max(g.most, g.inside)
	raw := g.raw
	g.mu.Unlock()
	defer func() { g.mu.Lock(); g.inside--; g.mu.Unlock() }()
	if raw != nil {
		return raw(j)
	}
	var out []mail.Outcome
	for _, to := range j.Recipients {
		o := mail.Outcome{Recipient: to.Address, Reply: g.answer(ctx, j, to.Address), Remote: g.name, Said: !g.mute, Notifies: g.notifies}
		if o.Delivered() {
			g.mu.Lock()
			g.arrived[to.Address.String()]++
			g.mu.Unlock()
		}
		out = append(out, o)
	}
	return out
}

func (g *target) answer(ctx context.Context, j nexthop.Job, to mail.Address) mail.Reply {
	g.mu.Lock()
	fn := g.fn
	g.mu.Unlock()
	if fn == nil {
		return mail.R(250, "2.0.0", "ok")
	}
	return fn(ctx, j, to)
}

func (g *target) times(to string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.arrived[to]
}

func (g *target) attempts() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.jobs)
}

func read(j nexthop.Job) string {
	r, err := j.Open()
	if err != nil {
		return "cannot be opened: " + err.Error()
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != j.Size {
		return fmt.Sprintf("cannot be read: %v, %d octets of %d", err, len(b), j.Size)
	}
	return string(b)
}

func newTarget(name string) *target { return &target{name: name, arrived: map[string]int{}} }

// inWorld runs fn in a bubble of fake time, with a world whose dispatch runs.
func inWorld(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		fn(t, w)
		w.stop()
	})
}

// inWorldOf is inWorld with senders warned after so long.
func inWorldOf(t *testing.T, warn time.Duration, fn func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := sched.Default()
		p.Warn = warn
		w := newWorldOf(t, p)
		w.start()
		fn(t, w)
		w.stop()
	})
}

func newWorld(t *testing.T) *world { return newWorldOf(t, sched.Default()) }

func newWorldOf(t *testing.T, p sched.Policy) *world {
	t.Helper()
	w := &world{
		budget: budget.Limits{Hour: 1 << 20, Day: 1 << 20},
		t:      t, disk: &disk{Store: mem.New()}, limits: dispatch.DefaultLimits(), policy: p, local: newTarget("maildir"),
		routes: map[string]*target{"remote.test": newTarget("mx.remote.test:25"), "slow.test": newTarget("mx.slow.test:25"), "far.test": newTarget("mx.far.test:25")},
	}
	var err error
	w.returns, err = srs.NewKey(bytes.Repeat([]byte{9}, srs.KeyOctets))
	must(t, err)
	limits := accounts.DefaultLimits()
	limits.HashMemory, limits.HashPasses, limits.ScramRounds = 64, 1, 4096
	w.identity, err = accounts.Open(t.Context(), w.disk, accounts.Options{Limits: limits, Now: time.Now})
	must(t, err)
	w.account("alice@local.test")
	w.account("älice@local.test")
	w.publish("alice@local.test", "älice@local.test", "bob@local.test")
	w.open()
	return w
}

func (w *world) account(who string) {
	_, err := w.identity.Add(w.t.Context(), addr(who), "correct horse battery", accounts.Sending{Role: accounts.RolePerson}, nil)
	must(w.t, err)
}

func (w *world) publish(accounts ...string) {
	var list []mail.Address
	for _, a := range accounts {
		list = append(list, addr(a))
	}
	s, err := directory.NewSnapshot(directory.Config{
		Hostname: addr("x@mx.local.test").Domain(), Detail: '+',
		Domains: []directory.Domain{{Name: addr("x@local.test").Domain(), Deliver: directory.DeliverMaildir}},
		Routes: []directory.Route{
			{Domain: addr("x@remote.test").Domain(), Host: "remote.test", Port: 25, TLS: mail.TLSRequired},
			{Domain: addr("x@slow.test").Domain(), Host: "slow.test", Port: 25, TLS: mail.TLSRequired},
			{Domain: addr("x@far.test").Domain(), Host: "far.test", Port: 25, TLS: mail.TLSRequired},
		},
		Forwards: w.forwards, ForwardExternal: !w.asleep,
	}, list)
	must(w.t, err)
	w.dir.Store(s)
}

// returnPaths makes those of forwards with a real key, and signs as a test wants.
type returnPaths struct {
	key  srs.Key
	sign func(from mail.Address, received time.Time) (mail.Address, bool)
}

func (r returnPaths) Sign(_ *directory.Snapshot, from mail.Address, received time.Time) (mail.Address, bool) {
	if r.sign == nil {
		return mail.Address{}, false
	}
	return r.sign(from, received)
}

func (r returnPaths) Forward(account mail.Address, received time.Time) (mail.Address, error) {
	return r.key.Path(account, received)
}

func (r returnPaths) Mark(m srs.Mark, account mail.Address, messageID string) string {
	return r.key.Mark(m, account, messageID, time.Now())
}

func (r returnPaths) ReadMark(text string, account mail.Address, messageID string) srs.Mark {
	return r.key.ReadMark(text, account, messageID, 7*24*time.Hour, time.Now())
}

// open opens the queue, as a fresh process does.
func (w *world) open() {
	key, err := gate.NewKey(bytes.Repeat([]byte{7}, gate.KeyOctets))
	must(w.t, err)
	w.spool, _, err = spool.Open(w.t.Context(), w.disk, spool.Options{Key: key, Policy: w.policy, Limits: w.queue, Now: time.Now, Logger: w.log()})
	must(w.t, err)
}

func (w *world) log() *slog.Logger { return slog.New(slog.NewTextHandler(&w.logged, nil)) }

func (w *world) start() {
	var queue dispatch.Queue = w.spool
	if w.wrap != nil {
		queue = w.wrap(w.spool)
	}
	counts, err := ledger.Open(w.t.Context(), w.disk, ledger.Options{Now: time.Now, Logger: w.log()})
	must(w.t, err)
	w.counts = counts
	w.dispatch = dispatch.New(dispatch.Options{
		Charge: func(account, target mail.Address) *ledger.Charge {
			return counts.Charge(ledger.Forward(account, target))
		},
		Allowance: func() budget.Limits { return w.budget },
		Hostname:  addr("x@mx.local.test").Domain(), Queue: queue, Directory: w.dir.Load,
		Active: func(a mail.Address) bool {
			acc, ok := w.identity.Lookup(a)
			return ok && acc.Standing == accounts.StandingActive
		},
		Local: w.local, Route: func(r directory.Route) nexthop.Target { return w.routes[r.Host] }, Exchangers: w.outside,
		ReturnPaths: returnPaths{w.returns, w.sign}, Low: w.low, Answered: w.answered,
		Record: func(ctx context.Context, facts ...fact.Fact) error {
			_, err := w.disk.Apply(ctx, store.Tx{Facts: fact.EncodeAll(facts...)}, store.Durable)
			return err
		},
		Policy: w.policy, Limits: w.limits, Now: time.Now, Rand: rand.Reader, Logger: w.log(),
	})
	soft, stop := context.WithCancel(context.Background())
	hard, cut := context.WithCancel(context.Background())
	w.soft, w.hard, w.ended = stop, cut, make(chan struct{})
	go func() {
		defer close(w.ended)
		_ = w.dispatch.Run(soft, hard)
	}()
	synctest.Wait()
}

// stop shuts dispatch down as node does, cutting what does not end.
func (w *world) stop() {
	w.soft()
	synctest.Wait()
	w.hard()
	<-w.ended
}

// restart is a new process on the same store.
func (w *world) restart() {
	w.stop()
	w.open()
	w.start()
}

// letterOf is one message to be sent.
type letterOf struct {
	account string // "" for a stranger
	from    string // "" for the null path
	to      []string
	local   bool // recipients of local.test are at home in any case
	env     mail.Envelope
	rcpt    func(*mail.Recipient)
	body    string
	junk    bool
	unnamed bool     // it has no Message-ID
	boxes   []string // each recipient of local.test is all of these
}

// send stores a message as intake does and hands it over.
func (w *world) send(l letterOf) mail.ID {
	w.t.Helper()
	c := w.put(l)
	w.dispatch.Offer(c)
	return c.Entry.ID
}

func (w *world) put(l letterOf) spool.Claim {
	w.t.Helper()
	id, err := mail.NewID(time.Now(), rand.Reader)
	must(w.t, err)
	m := spool.Message{ID: id, Envelope: l.env, MessageID: "<1@local.test>", Prefix: []byte(prefix), Junk: l.junk}
	if l.unnamed {
		m.MessageID = ""
	}
	m.Envelope.From = mail.NullPath()
	if l.from != "" {
		m.Envelope.From = mail.PathOf(addr(l.from))
	}
	if l.account != "" {
		m.Account = addr(l.account)
	}
	var grants []gate.Grant
	for _, s := range l.to {
		r := mail.Recipient{Address: addr(s)}
		if l.rcpt != nil {
			l.rcpt(&r)
		}
		m.Envelope.To = append(m.Envelope.To, r)
		for _, box := range l.boxes {
			m.Deliveries = append(m.Deliveries, spool.Delivery{Recipient: r, Kind: spool.KindLocal, Mailbox: addr(box)})
		}
		if l.boxes != nil {
			continue
		}
		if strings.HasSuffix(s, "@local.test") {
			box := r.Address
			if !w.mailbox.IsZero() {
				box = w.mailbox
			}
			m.Deliveries = append(m.Deliveries, spool.Delivery{Recipient: r, Kind: spool.KindLocal, Mailbox: box})
			continue
		}
		m.Deliveries = append(m.Deliveries, spool.Delivery{Recipient: r, Kind: spool.KindOutbound})
		grants = append(grants, w.grant(m, r.Address))
	}
	if len(grants) > 0 {
		m.Grant, err = gate.Join(grants...)
		must(w.t, err)
	}
	body, err := w.spool.NewBody(w.t.Context())
	must(w.t, err)
	if l.body == "" {
		l.body = letter
	}
	_, err = io.WriteString(body, l.body)
	must(w.t, err)
	c, err := w.spool.Put(w.t.Context(), m, body, nil)
	must(w.t, err)
	return c
}

func (w *world) grant(m spool.Message, to mail.Address) gate.Grant {
	w.t.Helper()
	owned := gate.OwnershipOwned
	if m.Envelope.From.IsNull() {
		owned = gate.OwnershipNull
	}
	v := gate.Decide(gate.Facts{
		Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthPassword, Standing: gate.StandingActive,
		Ownership: owned, Destination: gate.DestinationForeign,
	}, gate.Subject{Transaction: m.ID, Account: m.Account, Sender: m.Envelope.From, Recipient: to})
	g, ok := v.Grant()
	if !ok {
		w.t.Fatalf("no grant for %s: %s", to, v.Rule)
	}
	return g
}

// fresh is an honest message of alice's.
func fresh(to ...string) letterOf {
	return letterOf{account: "alice@local.test", from: "alice@local.test", to: to}
}

// entry returns a queued message; ok is false when it has left the queue.
func (w *world) entry(id mail.ID) (spool.Entry, bool) {
	e, err := w.spool.Get(w.t.Context(), id)
	return e, err == nil
}

// facts returns the facts of a kind, in order.
func (w *world) facts(k fact.Kind) []fact.Fact {
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	var out []fact.Fact
	for _, tx := range w.disk.facts {
		for _, f := range tx {
			if f.Kind == k {
				out = append(out, f)
			}
		}
	}
	return out
}

// notices returns the notifications that reached a mailbox.
func (w *world) notices() []string {
	w.local.mu.Lock()
	defer w.local.mu.Unlock()
	var out []string
	for i, j := range w.local.jobs {
		if strings.Contains(w.local.texts[i], "\r\nAuto-Submitted: ") && w.local.arrived[j.Recipients[0].Address.String()] > 0 {
			out = append(out, w.local.texts[i])
		}
	}
	return out
}

// queued demands how many messages the queue holds, and how many of them are held.
func (w *world) queued(entries, held int) {
	w.t.Helper()
	synctest.Wait()
	n := 0
	must(w.t, w.spool.List(w.t.Context(), spool.Filter{}, func(e spool.Entry) (bool, error) {
		if e.Held != "" || e.Parked() {
			n++
		}
		return true, nil
	}))
	if s := w.spool.Stats(); s.Entries != entries || s.Held != held || n != held {
		w.t.Errorf("the queue has %d entries, %d held (%d listed); want %d, %d\n%s", s.Entries, s.Held, n, entries, held, w.logged.String())
	}
}

// later lets time pass.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

func addr(s string) mail.Address {
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		return mail.Address{} // refused wherever it is used
	}
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func always(code int, enhanced, text string) func(context.Context, nexthop.Job, mail.Address) mail.Reply {
	return func(context.Context, nexthop.Job, mail.Address) mail.Reply { return mail.R(code, enhanced, text) }
}
