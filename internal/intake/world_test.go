package intake_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/bind"
	"sallyport/internal/bind/review"
	"sallyport/internal/budget"
	"sallyport/internal/budget/inflow"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/kit/allowance"
	"sallyport/internal/mail"
	"sallyport/internal/returnpath"
	"sallyport/internal/sched"
	"sallyport/internal/signin"
	smtpserver "sallyport/internal/smtp/server"
	"sallyport/internal/smtp/wire"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
	"sallyport/internal/trace"
)

const password = "correct horse battery"

var errLost = errors.New("the connection is lost")

// world is everything behind the socket, made of the real rooms.
type world struct {
	network  netip.Prefix // of clients; zero: none that has a part of the memory
	t        *testing.T
	now      time.Time
	st       *disk
	identity *accounts.Identity
	spool    *spool.Spool
	ledger   *ledger.Ledger
	inflow   *inflow.Budget
	findings *review.Findings
	most     budget.Limits // of each account
	trace    *trace.Log
	journal  *journal
	dir      atomic.Pointer[directory.Snapshot]
	desk     *signin.Desk
	in       *intake.Intake
	handed   []spool.Claim
	ended    []string // connections that were told to end
	seen     uint64   // facts of the store that were looked at
	logged   bytes.Buffer
	tls      *tls.ConnectionState
}

// handshake returns the server's side of a real TLS connection.
func handshake(t *testing.T) *tls.ConnectionState {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.local.test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, SessionTicketsDisabled: true})
	failed := make(chan error, 1)
	go func() {
		failed <- tls.Client(near, &tls.Config{RootCAs: roots, ServerName: "mx.local.test"}).HandshakeContext(t.Context())
	}()
	must(t, server.HandshakeContext(t.Context()))
	must(t, <-failed)
	cs := server.ConnectionState()
	return &cs
}

// disk is a store that can be full.
type disk struct {
	store.Store
	full bool
}

func (d *disk) Apply(ctx context.Context, tx store.Tx, how store.Durability) (store.Revision, error) {
	if d.full {
		return 0, store.ErrUnavailable
	}
	return d.Store.Apply(ctx, tx, how)
}

// journal notes what goes into the real trace, and on which side of it.
type journal struct {
	*trace.Log
	mu    sync.Mutex
	facts []entry
}

type entry struct {
	fact.Fact
	stranger bool
	many     bool
}

func (j *journal) Write(ctx context.Context, facts ...fact.Fact) error {
	for _, f := range facts {
		j.note(entry{Fact: f})
	}
	return j.Log.Write(ctx, facts...)
}

func (j *journal) Keep(ctx context.Context, facts ...fact.Fact) error {
	for _, f := range facts {
		j.note(entry{Fact: f})
	}
	return j.Log.Keep(ctx, facts...)
}

func (j *journal) Stranger(f fact.Fact) {
	j.note(entry{Fact: f, stranger: true})
	j.Log.Stranger(f)
}

func (j *journal) Many(f fact.Fact) {
	j.note(entry{Fact: f, many: true})
	j.Log.Many(f)
}

func (j *journal) note(e entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.facts = append(j.facts, e)
}

func (j *journal) take() []entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := j.facts
	j.facts = nil
	return out
}

type setup struct {
	limits intake.Limits
	spool  spool.Limits
	// returnPaths tells what the form of a recipient says.
	returnPaths func(*directory.Snapshot, mail.Address, bool) returnpath.Reading
	// inspectors judge complete messages.
	inspectors []intake.Inspector
	// memory is for what is not judged yet; nil: the default.
	memory *allowance.Budget
	// recipients are who answers for behind.test and cut.test.
	recipients intake.Recipients
	// asks says about whom the server behind is being asked now.
	asks func(directory.Domain, mail.Address) bool
	// watch watches accounts; nil: nobody does.
	watch intake.Watch
	// binding says what becomes of names that are not the account's.
	binding bind.Mode
	// screen judges strangers; nil: nobody does.
	screen intake.Screen
	// inflow bounds what networks bring and mailboxes take; zero: the defaults.
	inflow inflow.Limits
	// room is what mailboxes may hold; nil: as much as comes.
	room inflow.Room
	// desk bounds what one account may have; zero: the default.
	desk signin.Limits
	// networks knows networks that sign in; nil: there are none.
	networks intake.Networks
}

// listener is who watches accounts, if he hears of sign-ins.
func (s setup) listener() signin.Watch {
	w, _ := s.watch.(signin.Watch)
	return w
}

func newWorld(t *testing.T) *world { return newWorldOf(t, setup{limits: intake.DefaultLimits()}) }

func newWorldOf(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), st: &disk{Store: mem.New()}}
	log := slog.New(slog.NewTextHandler(&w.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	limits := accounts.DefaultLimits()
	limits.HashMemory, limits.HashPasses, limits.ScramRounds = 64, 1, 4096
	var err error
	w.identity, err = accounts.Open(t.Context(), w.st, accounts.Options{Limits: limits, Now: w.clock, Logger: log})
	must(t, err)
	for _, a := range []string{"alice@local.test", "bob@local.test"} {
		_, err := w.identity.Add(t.Context(), addr(t, a), password, accounts.Sending{Role: accounts.RolePerson}, nil)
		must(t, err)
	}
	w.publish("alice@local.test", "bob@local.test")
	key, err := gate.NewKey(bytes.Repeat([]byte{7}, gate.KeyOctets))
	must(t, err)
	w.spool, _, err = spool.Open(t.Context(), w.st, spool.Options{Key: key, Policy: sched.Default(), Limits: s.spool, Now: w.clock, Logger: log})
	must(t, err)
	secret, err := trace.NewKey(rand.Reader, "mx.local.test")
	must(t, err)
	signing, err := trace.ParseKey(secret)
	must(t, err)
	w.trace, err = trace.Open(t.Context(), w.st, trace.Options{
		Origin: signing.Origin(), Key: signing, CheckpointDir: t.TempDir(), Limits: trace.DefaultLimits(), Now: w.clock, Rand: rand.Reader, Logger: log,
	})
	must(t, err)
	w.journal = &journal{Log: w.trace}
	w.tls = handshake(t)
	offers, _ := s.recipients.(intake.Offers)
	international, _ := s.recipients.(intake.International)
	w.ledger, err = ledger.Open(t.Context(), w.st, ledger.Options{Now: w.clock, Logger: log})
	must(t, err)
	if s.inflow == (inflow.Limits{}) {
		s.inflow = inflow.DefaultLimits()
	}
	w.inflow, err = inflow.Open(t.Context(), w.st, inflow.Options{Limits: s.inflow, Room: s.room, Now: w.clock, Logger: log})
	must(t, err)
	w.most = budget.Limits{Hour: 1 << 20, Day: 1 << 20}
	w.findings, err = review.Open(t.Context(), w.st, review.Options{Limits: review.DefaultLimits(), Now: w.clock, Logger: log})
	must(t, err)
	w.desk = signin.New(signin.Options{Accounts: w.identity, Journal: w.journal, Watch: s.listener(), Limits: cmp.Or(s.desk, signin.DefaultLimits()), Now: w.clock, Logger: log})
	w.in = intake.New(intake.Options{
		Binding: func() bind.Mode { return s.binding }, Findings: w.findings,
		Inflow: w.inflow, Screen: s.screen, Networks: s.networks, Watch: s.watch, Ledger: w.ledger, Allowance: func(accounts.Account) budget.Limits { return w.most },
		Hostname: domain(t, "mx.local.test"), Directory: w.dir.Load, Accounts: w.identity, Desk: w.desk, Queue: w.spool, Journal: w.journal,
		Handoff: func(c spool.Claim) { w.handed = append(w.handed, c) }, Inspectors: s.inspectors,
		Memory: s.memory, Recipients: s.recipients, Asks: s.asks, Offers: offers, International: international,
		ReturnPaths: s.returnPaths, Limits: s.limits, Now: w.clock, Rand: rand.Reader, Logger: log,
	})
	w.seen = w.st.FactHead()
	return w
}

func (w *world) clock() time.Time { return w.now }

// publish makes a directory of these accounts the current one.
func (w *world) publish(accounts ...string) {
	w.t.Helper()
	var list []mail.Address
	for _, a := range accounts {
		list = append(list, addr(w.t, a))
	}
	s, err := directory.NewSnapshot(directory.Config{
		Hostname: domain(w.t, "mx.local.test"), Detail: '+',
		Domains: []directory.Domain{
			{Name: domain(w.t, "local.test"), Deliver: directory.DeliverMaildir},
			{Name: domain(w.t, "behind.test"), Deliver: directory.DeliverSMTP, Recipients: directory.RecipientsCallout,
				Server: directory.Server{Host: "10.0.0.5", Port: 25, TLS: mail.TLSNone}},
			{Name: domain(w.t, "cut.test"), Deliver: directory.DeliverLMTP, Recipients: directory.RecipientsCallout, CutThrough: true,
				Server: directory.Server{LMTP: true, Path: "/run/lmtp", TLS: mail.TLSNone}},
		},
		Aliases: []directory.Alias{
			{Address: addr(w.t, "sales@local.test"), Targets: []mail.Address{addr(w.t, "alice@local.test")}, Posting: directory.PostingAnyone},
			{Address: addr(w.t, "all@local.test"), Targets: []mail.Address{addr(w.t, "alice@local.test"), addr(w.t, "bob@local.test")}, Posting: directory.PostingAnyone},
			{Address: addr(w.t, "both@local.test"), Targets: []mail.Address{addr(w.t, "bob@local.test"), addr(w.t, "Zoe@behind.test")}, Posting: directory.PostingAnyone},
			{Address: addr(w.t, "round@local.test"), Targets: []mail.Address{addr(w.t, "square@local.test")}, Posting: directory.PostingAnyone},
			{Address: addr(w.t, "square@local.test"), Targets: []mail.Address{addr(w.t, "round@local.test")}, Posting: directory.PostingAnyone},
		},
		Literals: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
	}, list)
	must(w.t, err)
	w.dir.Store(s)
}

// client is one connection; its methods are the client's commands.
type client struct {
	w *world
	s smtpserver.Session
	t smtpserver.Transaction
}

// remote is where clients come from.
func (w *world) remote() netip.AddrPort { return netip.MustParseAddrPort("[::ffff:198.51.100.7]:4711") }

func (w *world) connect(k smtpserver.Kind) *client {
	w.t.Helper()
	id := "c" + string(rune('a'+len(w.ended)))
	s, r := w.in.Connect(w.t.Context(), &smtpserver.Conn{
		ID: id, Kind: k, Remote: w.remote(), Network: w.network, Started: w.now,
		End: func() { w.ended = append(w.ended, id) }, Known: func() {},
	})
	if s == nil || r.Code != 220 {
		w.t.Fatalf("greeting: %v", r)
	}
	c := &client{w: w, s: s}
	c.want(c.s.Hello(w.t.Context(), smtpserver.Hello{Name: "client.test", Extended: true, TLS: w.tls}), 250)
	return c
}

// signedIn connects and signs in; the fact about that is taken away.
func (w *world) signedIn(who string) *client {
	w.t.Helper()
	c := w.connect(smtpserver.KindSubmissions)
	c.want(c.signIn(who, password), 235)
	w.facts()
	return c
}

func (c *client) signIn(who, with string) mail.Reply {
	c.w.t.Helper()
	sasl, r := c.s.Auth(c.w.t.Context(), "PLAIN")
	if sasl == nil {
		return r
	}
	_, done, r := sasl.Next(c.w.t.Context(), []byte("\x00"+who+"\x00"+with))
	if !done {
		c.w.t.Fatal("PLAIN is not done after one response")
	}
	return r
}

func (c *client) mail(env mail.Envelope) mail.Reply {
	var r mail.Reply
	c.t, r = c.s.Mail(c.w.t.Context(), env)
	if (c.t != nil) != r.OK() {
		c.w.t.Errorf("MAIL: %v with transaction %v", r, c.t)
	}
	return r
}

func (c *client) from(path string) mail.Reply {
	p, err := mail.ParseReversePath(path, mail.UTF8)
	must(c.w.t, err)
	return c.mail(mail.Envelope{From: p})
}

func (c *client) to(path string) mail.Reply {
	p, err := mail.ParseForwardPath(path, mail.UTF8)
	must(c.w.t, err)
	return c.t.Rcpt(c.w.t.Context(), wire.RcptParams{To: p})
}

func (c *client) notified(path string, n mail.Notify) mail.Reply {
	p, err := mail.ParseForwardPath(path, mail.UTF8)
	must(c.w.t, err)
	return c.t.Rcpt(c.w.t.Context(), wire.RcptParams{To: p, Notify: n})
}

func (c *client) data(text string) mail.Reply { return c.stream(strings.NewReader(text)) }

// stream sends a message in small pieces.
func (c *client) stream(r io.Reader) mail.Reply {
	return c.t.Data(c.w.t.Context(), iotest.HalfReader(r))
}

func (c *client) want(r mail.Reply, code int) {
	c.w.t.Helper()
	if r.Code != code {
		c.w.t.Errorf("answered %v, want %d", r, code)
	}
}

// message is an honest message of alice's.
const message = "From: Alice <alice@local.test>\r\nTo: x@remote.test\r\nDate: Sun, 1 Mar 2026 12:00:00 +0000\r\nMessage-ID: <1@local.test>\r\nSubject: x\r\n\r\nHello\r\n"

// facts returns what was recorded since it was last asked: by the journal, and with
// messages.
func (w *world) facts() []entry {
	w.t.Helper()
	out := w.journal.take()
	head := w.st.FactHead()
	err := w.st.Facts(w.t.Context(), w.seen+1, head+1, func(_ uint64, b []byte) (bool, error) {
		f, err := fact.Decode(b)
		if err == nil && f.Kind == fact.KindAccept {
			out = append(out, entry{Fact: f})
		}
		return true, err
	})
	must(w.t, err)
	w.seen = head
	return out
}

// oneFact demands that exactly one fact was recorded, by this rule.
func (w *world) oneFact(rule string) entry {
	w.t.Helper()
	all := w.facts()
	if len(all) != 1 || all[0].Rule != rule {
		w.t.Fatalf("%d facts, want one of rule %s: %+v", len(all), rule, all)
	}
	return all[0]
}

// empty demands that nothing was stored or handed over.
func (w *world) empty() {
	w.t.Helper()
	blobs, err := w.st.Blobs().List()
	must(w.t, err)
	if n := w.spool.Stats().Entries; n != 0 || len(w.handed) != 0 || len(blobs) != 0 {
		w.t.Errorf("%d messages stored, %d handed over, files %v; want none", n, len(w.handed), blobs)
	}
}

// only returns the one message that was stored and handed over, as it leaves.
func (w *world) only() (spool.Claim, string) {
	w.t.Helper()
	if len(w.handed) != 1 || w.spool.Stats().Entries != 1 {
		w.t.Fatalf("%d messages handed over, %d stored; want one", len(w.handed), w.spool.Stats().Entries)
	}
	c := w.handed[0]
	r, err := w.spool.OpenBody(w.t.Context(), c.Entry.ID)
	must(w.t, err)
	defer r.Close()
	body, err := io.ReadAll(r)
	must(w.t, err)
	return c, string(body)
}

func addr(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	must(t, err)
	return a
}

func domain(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	must(t, err)
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
