package sequence

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/budget/inflow"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/directory"
	"sallyport/internal/dispatch"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/maildir"
	"sallyport/internal/nexthop/named"
	"sallyport/internal/returnpath"
	"sallyport/internal/sched"
	"sallyport/internal/signin"
	smtpclient "sallyport/internal/smtp/client"
	smtpserver "sallyport/internal/smtp/server"
	"sallyport/internal/spool"
	"sallyport/internal/store/mem"
	"sallyport/internal/store/pebble"
)

const rightPassword = "correct horse battery"

type doorKind int

const (
	doorMX doorKind = iota
	doorSubmissions
)

// world is a whole server in memory, made of the real rooms.
type world struct {
	t         *testing.T
	log       *slog.Logger
	dir       *directory.Snapshot
	identity  *accounts.Identity
	spool     *spool.Spool
	ledger    *ledger.Ledger
	inflow    *inflow.Budget
	dispatch  *dispatch.Dispatch
	fs        *vfs.MemFS
	listener  net.Listener
	serverTLS *tls.Config
	clientTLS *tls.Config
	sink      *sink
	cancel    context.CancelFunc
	finished  chan struct{}

	accepted, outbound atomic.Int64
	mu                 sync.Mutex
	due                map[string]stored // messages that must arrive
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, log: slog.New(slog.DiscardHandler), fs: vfs.NewMem(), due: map[string]stored{}, finished: make(chan struct{})}
	w.serverTLS, w.clientTLS = certificates(t)
	st := mem.New()
	var err error
	limits := accounts.DefaultLimits()
	limits.HashMemory, limits.HashPasses, limits.ScramRounds = 64, 1, 4096
	w.identity, err = accounts.Open(t.Context(), st, accounts.Options{Limits: limits})
	must(t, err)
	alice, bob := address(t, "alice@local.test"), address(t, "bob@local.test")
	for _, a := range []mail.Address{alice, bob} {
		_, err := w.identity.Add(t.Context(), a, rightPassword, accounts.Sending{Role: accounts.RolePerson}, nil)
		must(t, err)
	}
	w.dir, err = directory.NewSnapshot(directoryConfig(t, alice, bob), []mail.Address{alice, bob})
	must(t, err)
	key, err := gate.NewKey(bytes.Repeat([]byte{7}, gate.KeyOctets))
	must(t, err)
	w.ledger, err = ledger.Open(t.Context(), st, ledger.Options{Now: time.Now, Logger: w.log})
	must(t, err)
	// A hundred thousand sequences bring more than any bound of a mailbox.
	much := inflow.DefaultLimits()
	much.ShareMessages, much.MailboxMessages, much.Replies = 1<<30, 1<<30, 1<<30
	much.ShareOctets, much.MailboxOctets = 1<<40, 1<<40
	w.inflow, err = inflow.Open(t.Context(), st, inflow.Options{Limits: much, Now: time.Now, Logger: w.log})
	must(t, err)
	w.spool, _, err = spool.Open(t.Context(), st, spool.Options{Key: key, Policy: sched.Default(), Now: time.Now, Logger: w.log})
	must(t, err)
	w.listener, err = net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w.sink = startSink(t)
	w.startDispatch()
	return w
}

func directoryConfig(t *testing.T, alice, bob mail.Address) directory.Config {
	local, remote := alice.Domain(), address(t, "x@remote.test").Domain()
	return directory.Config{
		Hostname: address(t, "x@mx.local.test").Domain(), Detail: '+',
		Domains: []directory.Domain{{Name: local, Deliver: directory.DeliverMaildir}},
		Aliases: []directory.Alias{
			{Address: address(t, "sales@local.test"), Targets: []mail.Address{alice}, Posting: directory.PostingAnyone},
			{Address: address(t, "all@local.test"), Targets: []mail.Address{alice, bob}, Posting: directory.PostingAnyone},
		},
		Routes: []directory.Route{
			{Domain: remote, Host: "127.0.0.1", Port: 25, TLS: mail.TLSNone},
			{Host: "127.0.0.1", Port: 25, TLS: mail.TLSNone},
		},
	}
}

func (w *world) startDispatch() {
	box, err := maildir.New(maildir.Options{FS: pebble.Disk(w.fs), Root: "mail", Hostname: w.dir.Hostname(), Limits: maildir.DefaultLimits(), Rand: crand.Reader, Logger: w.log})
	must(w.t, err)
	out := newRoute(w)
	w.dispatch = dispatch.New(dispatch.Options{
		Hostname: w.dir.Hostname(), Queue: w.spool, Directory: func() *directory.Snapshot { return w.dir },
		Active: func(a mail.Address) bool {
			acc, ok := w.identity.Lookup(a)
			return ok && acc.Standing == accounts.StandingActive
		},
		Local: box, Route: func(directory.Route) nexthop.Target { return out },
		ReturnPaths: returnpath.New(returnpath.Options{Now: time.Now}),
		Record:      func(context.Context, ...fact.Fact) error { return nil }, // nobody removes anything
		Policy:      sched.Default(), Limits: dispatch.DefaultLimits(), Now: time.Now, Rand: crand.Reader, Logger: w.log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go func() {
		defer close(w.finished)
		_ = w.dispatch.Run(ctx, context.Background())
	}()
}

// connect opens a connection to a door of its own intake, which records what that
// connection stores.
func (w *world) connect(r *rand.Rand) *session {
	s := &session{w: w, r: r, stored: &recorder{w: w}, door: doorKind(r.IntN(2))}
	kind := smtpserver.KindMX
	if s.door == doorSubmissions {
		kind = smtpserver.KindSubmissions
	}
	desk := signin.New(signin.Options{Accounts: w.identity, Journal: silent{}, Limits: signin.DefaultLimits(), Now: time.Now, Logger: w.log})
	in := intake.New(intake.Options{
		Desk: desk, Inflow: w.inflow,
		Ledger: w.ledger, Allowance: func(accounts.Account) budget.Limits { return budget.Limits{Hour: 1 << 20, Day: 1 << 20} },
		Hostname: w.dir.Hostname(), Directory: func() *directory.Snapshot { return w.dir }, Accounts: w.identity, Queue: s.stored,
		Journal: silent{}, Handoff: w.dispatch.Offer, Limits: intake.DefaultLimits(), Now: time.Now, Rand: crand.Reader, Logger: w.log,
	})
	limits := smtpserver.DefaultLimits()
	limits.Errors, limits.Junk, limits.Unknown, limits.AuthFailureDelay = 200, 500, 100, 0
	limits.AuthFailures = 50
	cfg := smtpserver.Config{Kind: kind, Hostname: w.dir.Hostname(), TLS: w.serverTLS, Limits: limits, Logger: w.log, Now: time.Now}
	if kind == smtpserver.KindSubmissions {
		cfg.Mechanisms = func(c smtpserver.Channel) []string { return w.identity.Mechanisms(c.TLS != nil, c.Plus) }
	}
	near, far := w.pair()
	go smtpserver.ServeConn(context.Background(), far, cfg, in)
	s.c = near
	if s.door == doorSubmissions {
		s.c = tls.Client(near, w.clientTLS)
	}
	s.in = bufio.NewReader(s.c)
	_ = s.c.SetDeadline(time.Now().Add(30 * time.Second))
	if code, _, ok := s.reply(); code != 220 || !ok {
		s.faultf("greeting: %d", code)
	}
	if r.IntN(20) > 0 {
		s.hello()
	}
	if s.door == doorSubmissions && r.IntN(5) > 0 {
		s.signIn()
	}
	return s
}

// pair returns the two ends of one TCP connection.
func (w *world) pair() (near, far net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	near, err := net.Dial("tcp", w.listener.Addr().String())
	if err != nil {
		w.t.Errorf("dial: %v", err)
		return net.Pipe()
	}
	far, err = w.listener.Accept()
	if err != nil {
		w.t.Errorf("accept: %v", err)
		return net.Pipe()
	}
	return near, far
}

// stored is one message that Put took.
type stored struct {
	id         string
	from       mail.ReversePath
	account    mail.Address
	body       []byte
	mailboxes  int
	outbound   []string
	recipients []string
	problem    string
}

// disagrees compares what was stored with what the client was told.
func (s stored) disagrees(from string, rcpts []string) string {
	if s.problem != "" {
		return s.problem
	}
	if p := s.from.String(); !strings.EqualFold(p, "<"+from+">") {
		return "stored sender " + p + " is not " + from
	}
	want := map[string]bool{}
	for _, r := range rcpts {
		if strings.EqualFold(r, "postmaster") {
			r = "postmaster@mx.local.test"
		}
		want[strings.ToLower(r)] = true
	}
	got := map[string]bool{}
	for _, r := range s.recipients {
		got[strings.ToLower(r)] = true
	}
	for r := range want {
		if !got[r] {
			return r + " was answered 250 but is not stored"
		}
	}
	for r := range got {
		if !want[r] {
			return r + " is stored but was not answered 250"
		}
	}
	return ""
}

// recorder is the queue of one connection: the real spool, and a note of each Put.
type recorder struct {
	w    *world
	mu   sync.Mutex
	puts []stored
}

func (q *recorder) NewBody(ctx context.Context) (*spool.Body, error) { return q.w.spool.NewBody(ctx) }

func (q *recorder) Put(ctx context.Context, m spool.Message, body *spool.Body, facts [][]byte) (spool.Claim, error) {
	c, err := q.w.spool.Put(ctx, m, body, facts)
	if err != nil {
		return c, err
	}
	s := stored{id: m.ID.String(), from: m.Envelope.From, account: m.Account, body: bytes.Clone(c.Body)}
	for _, r := range m.Envelope.To {
		s.recipients = append(s.recipients, r.Address.String())
	}
	boxes := map[string]bool{} // a mailbox has one copy, however many recipients lead to it
	for _, d := range m.Deliveries {
		if d.Kind == spool.KindLocal {
			boxes[d.Mailbox.Key()] = true
			continue
		}
		s.outbound = append(s.outbound, d.Recipient.Address.String())
		if s.problem == "" {
			s.problem = q.w.grantProblem(m, d)
		}
	}
	s.mailboxes = len(boxes)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.puts = append(q.puts, s)
	return c, nil
}

// grantProblem states the first invariant in its own words.
func (w *world) grantProblem(m spool.Message, d spool.Delivery) string {
	acc, ok := w.identity.Lookup(m.Account)
	sender, named := m.Envelope.From.Address()
	switch {
	case !ok || acc.Standing != accounts.StandingActive:
		return "an outbound message of no active account"
	case named && !w.dir.Owner(m.Account).Owns(sender):
		return "an outbound message from " + sender.String() + ", which is not the account's"
	case !m.Grant.Covers(m.ID, m.Envelope.From, d.Recipient.Address):
		return "an outbound message without a grant"
	}
	return ""
}

func (q *recorder) take() []stored {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.puts
	q.puts = nil
	return out
}

func (w *world) expect(s stored) {
	w.accepted.Add(1)
	if len(s.outbound) > 0 {
		w.outbound.Add(1)
	}
	s.body = nil
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due[s.id] = s
}

// settle waits for the queue to empty and counts the copies of each message.
func (w *world) settle() {
	for end := time.Now().Add(60 * time.Second); w.spool.Stats().Entries > 0 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	w.cancel()
	<-w.finished
	if left := w.spool.Stats(); left.Entries > 0 {
		w.t.Errorf("%d messages are still queued", left.Entries)
		_ = w.spool.List(context.Background(), spool.Filter{Limit: 3}, func(e spool.Entry) (bool, error) {
			w.t.Errorf("%s from %s: %+v", e.ID, e.Envelope.From, e.Recipients)
			return true, nil
		})
	}
	copies := w.mailboxCopies()
	for id, s := range w.due {
		if copies[id] != s.mailboxes {
			w.t.Errorf("%s has %d copies in mailboxes, want %d", id, copies[id], s.mailboxes)
		}
		if want := min(len(s.outbound), 1); w.sink.copies(id) != want {
			w.t.Errorf("%s has %d copies at the sink, want %d", id, w.sink.copies(id), want)
		}
		delete(copies, id)
	}
	for id := range copies {
		w.t.Errorf("%s is in a mailbox, but nobody was told so", id)
	}
	for _, p := range w.sink.problems() {
		w.t.Error(p)
	}
}

// mailboxCopies counts the files of each queue id, found by our Received field.
func (w *world) mailboxCopies() map[string]int {
	out := map[string]int{}
	var walk func(dir string)
	walk = func(dir string) {
		names, err := w.fs.List(dir)
		must(w.t, err)
		for _, name := range names {
			path := filepath.Join(dir, name)
			info, err := w.fs.Stat(path)
			must(w.t, err)
			switch {
			case info.IsDir():
				walk(path)
			case filepath.Base(dir) == "new":
				out[queueID(w.read(path))]++
			}
		}
	}
	walk("mail")
	return out
}

func (w *world) read(path string) []byte {
	f, err := w.fs.Open(path)
	must(w.t, err)
	defer f.Close()
	info, err := f.Stat()
	must(w.t, err)
	b := make([]byte, info.Size())
	_, err = f.ReadAt(b, 0)
	must(w.t, err)
	return b
}

// queueID reads the id out of our own Received field.
func queueID(b []byte) string {
	_, rest, _ := bytes.Cut(b, []byte(" id "))
	if len(rest) < mail.IDLength {
		return ""
	}
	return string(rest[:mail.IDLength])
}

// silent is a journal that keeps nothing; what the trace keeps is tested elsewhere.
type silent struct{}

func (silent) Write(context.Context, ...fact.Fact) error { return nil }
func (silent) Keep(context.Context, ...fact.Fact) error  { return nil }
func (silent) Stranger(fact.Fact)                        {}

func (silent) Many(fact.Fact) {}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.ASCII)
	must(t, err)
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func certificates(t *testing.T) (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"mx.local.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(crand.Reader, tmpl, tmpl, &key.PublicKey, key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}},
		&tls.Config{RootCAs: roots, ServerName: "mx.local.test", ClientSessionCache: tls.NewLRUClientSessionCache(16)}
}

// newRoute is the real route to the sink, whose address stands in for the one that
// the configuration names.
func newRoute(w *world) nexthop.Target {
	limits := named.DefaultLimits()
	limits.Connections = clients
	out, err := named.New(named.Place{Network: "tcp", Address: "127.0.0.1:25", Host: "127.0.0.1", TLS: mail.TLSNone, Limits: limits}, named.Means{
		Hello: w.dir.Hostname(),
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, w.sink.ln.Addr().String())
		},
		Timeouts: smtpclient.DefaultTimeouts(), SMTP: smtpclient.DefaultLimits(), Now: time.Now, Logger: w.log,
	})
	must(w.t, err)
	return out
}
