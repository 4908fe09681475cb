package signin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/xdg-go/scram"
	"pgregory.net/rapid"

	"sallyport/internal/accounts"
	"sallyport/internal/mail"
	"sallyport/internal/oidc"
	"sallyport/internal/oidc/oidctest"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// sequences is how many TestNoOrderOfSignInsMatters tries, and steps about how long each is, unless
// -rapid.checks and -rapid.steps say otherwise.
const sequences, steps = "2000", "20"

// The only two answers to a password that does not let in.
const (
	wrong   = "535 5.7.8 user name or password not valid; the user name is your full address"
	tooMany = "454 4.7.0 too many failed sign-ins, try again later"
	letIn   = "235 2.7.0 signed in"
)

// owned is a credential of a person as the model has it.
type owned struct {
	id, secret string // secret of an app password
	reads      bool   // an app password that is not for sending
	revoked    bool
}

// person is what an account ought to be.
type person struct {
	who      string
	password int // that was set last
	revoked  bool
	frozen   bool
	apps     []*owned
	device   *owned // nil: its certificate is not enrolled
	leaf     *x509.Certificate
	known    map[netip.Addr]bool
	// wrongs are when guesses were judged that came from networks which are new to the account.
	wrongs []time.Time
	// missed is when a wrong password last came from a network that is known to the account.
	missed time.Time
}

// String returns it for a report.
func (h *person) String() string {
	return fmt.Sprintf("%s (password %d, revoked %v, frozen %v, %d app passwords)", h.who, h.password, h.revoked, h.frozen, len(h.apps))
}

// seat is a session that signed in.
type seat struct {
	v          *Visit
	of         *person
	gone       func() bool // what it rests on is no more
	frost      int         // how often the account was frozen or thawed before
	byPassword bool
}

// play is a server, the same without any account, and what ought to be.
type play struct {
	t         *rapid.T
	now       *time.Time
	st, empty store.Store
	id, none  *accounts.Identity
	desk      *Desk
	blank     *Desk // of the server without accounts
	provider  *oidctest.Provider
	judge     *oidc.Judge
	people    []*person
	frosts    map[*person]int
	seats     []seat
	starts    []time.Time
	tls       tls.ConnectionState // of a connection on which nobody showed a certificate
	guesses   int
}

func (p *play) limits() accounts.Limits {
	l := accounts.DefaultLimits()
	l.HashMemory, l.HashPasses, l.ScramRounds = 64, 1, 4096
	return l
}

// start opens both servers anew on what they kept.
func (p *play) start() {
	open := func(st store.Store) (*accounts.Identity, *Desk) {
		now, log := func() time.Time { return *p.now }, slog.New(slog.DiscardHandler)
		id, err := accounts.Open(context.Background(), st, accounts.Options{
			Limits: p.limits(), Now: now, Logger: log, Mechanisms: accounts.KnownMechanisms(), Provider: func() *oidc.Judge { return p.judge },
		})
		if err != nil {
			p.t.Fatal(err)
		}
		return id, New(Options{
			Accounts: id, Journal: &journal{},
			Limits: Limits{SessionsPerAccount: 1000, ReadersPerAccount: 1000, Facts: 1000, ReadingFacts: 1000},
			Now:    now, Logger: log,
		})
	}
	p.id, p.desk = open(p.st)
	p.none, p.blank = open(p.empty)
	p.seats = nil
	p.starts = append(p.starts, *p.now)
	for _, h := range p.people {
		h.missed = time.Time{}
	}
}

func (p *play) address(h *person) mail.Address { return mustAddress(h.who) }

func mustAddress(s string) mail.Address {
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		panic(err)
	}
	return a
}

// homeOf is a network in which only one person is, and strange one of those that guess, of which
// some share a /16.
func homeOf(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2 + byte(n), 7}) }
func strange(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n / 3), byte(n), 1})
}

func (p *play) peerOf(from netip.Addr, leaf *x509.Certificate) accounts.Peer {
	state := p.tls
	if leaf != nil {
		state.PeerCertificates = []*x509.Certificate{leaf}
	}
	return accounts.Peer{Remote: from, TLS: &state, For: accounts.ScopeSend}
}

// said plays responses against an exchange at a desk, and returns the answer.
func (p *play) said(d *Desk, from accounts.Peer, mech string, responses ...string) (string, *Visit) {
	v := d.Visit(&guest{peer: from})
	x, err := v.Begin(mech)
	if err != nil {
		return accounts.Reply(err).String(), v
	}
	for _, r := range responses {
		if _, done, reply := x.Next(context.Background(), []byte(r)); done {
			return reply.String(), v
		}
	}
	p.t.Fatalf("%s has no end", mech)
	return "", nil
}

// proves is a real client of SCRAM.
func (p *play) proves(d *Desk, from accounts.Peer, who, secret string) (string, *Visit) {
	c, err := scram.SHA256.NewClient(who, secret, "")
	if err != nil {
		p.t.Fatal(err)
	}
	talk := c.NewConversation()
	v := d.Visit(&guest{peer: from})
	x, err := v.Begin(accounts.MechScram)
	if err != nil {
		return accounts.Reply(err).String(), v
	}
	msg, err := talk.Step("")
	for range 4 {
		if err != nil {
			p.t.Fatal(err)
		}
		challenge, done, reply := x.Next(context.Background(), []byte(msg))
		if done {
			return reply.String(), v
		}
		msg, err = talk.Step(string(challenge))
	}
	p.t.Fatal("SCRAM has no end")
	return "", nil
}

func passwordOf(n int) string { return fmt.Sprintf("password number %d", n) }

// sits notes who was let in.
func (p *play) sits(h *person, from netip.Addr, v *Visit, byPassword bool, gone func() bool) {
	h.known[from] = true
	p.seats = append(p.seats, seat{v, h, gone, p.frosts[h], byPassword})
}

// password tries the one of number n at h, by SCRAM only if it is right: there the server
// cannot tell the same wrong one from another.
func (p *play) password(h *person, from netip.Addr, n int, byScram bool) {
	right := n == h.password && !h.revoked && !h.frozen
	quiet := h.known[from] && p.now.Sub(h.missed) >= p.limits().Guesses.Known.Every
	before := p.id.HashStats().Started
	var got string
	var v *Visit
	if byScram && right {
		got, v = p.proves(p.desk, p.peerOf(from, nil), h.who, passwordOf(n))
	} else {
		got, v = p.said(p.desk, p.peerOf(from, nil), accounts.MechPlain, "\x00"+h.who+"\x00"+passwordOf(n))
	}
	switch {
	case got == letIn && !right:
		p.t.Fatalf("%s let in with password %d", h, n)
	case got == letIn:
		p.sits(h, from, v, true, func() bool { return h.revoked })
	case right && (quiet || got != tooMany):
		p.t.Fatalf("the right password of %s: %s", h, got)
	default:
		p.missed(h, from, got, p.id.HashStats().Started != before)
	}
}

// missed notes what was answered to a password that lets nobody in. Where somebody new to the account
// is told that he tried too often, or has one judged, he is told the same where there is no
// account. What was tried before is no guess.
func (p *play) missed(h *person, from netip.Addr, got string, judged bool) {
	switch {
	case got != wrong && got != tooMany:
		p.t.Fatalf("%s: %s", h, got)
	case h.known[from]:
		if got == wrong {
			h.missed = *p.now
		}
		return // there is such a network only for an account
	case got == wrong && !judged:
		return
	case got == wrong:
		h.wrongs = append(h.wrongs, *p.now)
	}
	same, _ := p.said(p.blank, p.peerOf(from, nil), accounts.MechPlain, "\x00"+h.who+"\x00"+p.fresh())
	if same != got {
		p.t.Fatalf("%s: %s, and where there is no account: %s", h, got, same)
	}
}

// fresh is a password that nobody tried.
func (p *play) fresh() string {
	p.guesses++
	return fmt.Sprint("guess number ", p.guesses)
}

// guess tries a password that nobody tried.
func (p *play) guess(h *person, from netip.Addr, byScram bool) {
	var got string
	if byScram {
		got, _ = p.proves(p.desk, p.peerOf(from, nil), h.who, p.fresh())
	} else {
		got, _ = p.said(p.desk, p.peerOf(from, nil), accounts.MechPlain, "\x00"+h.who+"\x00"+p.fresh())
	}
	p.missed(h, from, got, true)
}

// app tries an app password, by PLAIN or by SCRAM: it is asked about nothing else.
func (p *play) app(h *person, a *owned, from netip.Addr, byScram bool) {
	before := p.id.HashStats().Started
	var got string
	var v *Visit
	if byScram {
		if a.revoked || a.reads || h.frozen {
			return // there it is a wrong password like any other
		}
		got, v = p.proves(p.desk, p.peerOf(from, nil), h.who, a.secret)
	} else {
		got, v = p.said(p.desk, p.peerOf(from, nil), accounts.MechPlain, "\x00"+h.who+"\x00"+a.secret)
	}
	right := !a.revoked && !a.reads && !h.frozen
	switch {
	case right != (got == letIn):
		p.t.Fatalf("%s with app password %s: %s", h, a.id, got)
	case right:
		p.sits(h, from, v, false, func() bool { return a.revoked })
	default:
		p.missed(h, from, got, p.id.HashStats().Started != before)
	}
}

// certificate shows that of h's device.
func (p *play) certificate(h *person, from netip.Addr) {
	got, v := p.said(p.desk, p.peerOf(from, h.leaf), accounts.MechExternal, "")
	device := h.device
	switch right := device != nil && !device.revoked && !h.frozen; {
	case right != (got == letIn):
		p.t.Fatalf("%s with its certificate: %s", h, got)
	case right:
		p.sits(h, from, v, false, func() bool { return device.revoked })
	}
}

// token shows one of the provider, whose time may be over.
func (p *play) token(h *person, from netip.Addr, over bool) {
	more := map[string]any{}
	if over {
		more["exp"] = p.now.Add(-time.Hour).Unix()
	}
	got, v := p.said(p.desk, p.peerOf(from, nil), accounts.MechXOAuth2, fmt.Sprintf("user=%s\x01auth=Bearer %s\x01\x01", h.who, p.provider.Token(h.who, more)))
	right, ends := !over && !h.frozen, p.now.Add(time.Hour)
	quiet := h.known[from] && p.now.Sub(h.missed) >= p.limits().Guesses.Known.Every
	switch {
	case got == letIn && !right:
		p.t.Fatalf("%s with a token that is over %v: %s", h, over, got)
	case got == letIn:
		p.sits(h, from, v, false, func() bool { return !p.now.Before(ends) })
	case right && (quiet || got != tooMany):
		p.t.Fatalf("%s with its token: %s", h, got)
	}
}

// check holds what was judged against what the rates give, and the sessions against what they
// rest on.
func (p *play) check() {
	const window = 10 * time.Minute
	since := p.now.Add(-window)
	restarts := 0
	for _, s := range p.starts[1:] {
		if s.After(since) {
			restarts++
		}
	}
	for _, h := range p.people {
		h.wrongs = slices.DeleteFunc(h.wrongs, func(at time.Time) bool { return !at.After(since) })
		// Ten, five of the reserve, and at each start one of both.
		if n, most := len(h.wrongs), 10+5+2*restarts; n > most {
			p.t.Fatalf("%d guesses were judged at %s within ten minutes, with %d restarts", n, h.who, restarts)
		}
	}
	for _, s := range p.seats {
		if fallen, want := s.v.Fallen() != "", s.gone() || p.frosts[s.of] != s.frost; fallen != want {
			p.t.Fatalf("a session of %s is over: %v (%s), want %v", s.of, fallen, s.v.Fallen(), want)
		}
	}
}

// template has alice and bob, and what each of them can show.
func template(t *testing.T, now time.Time) (store.Store, map[string]*x509.Certificate) {
	st, leaves := mem.New(), map[string]*x509.Certificate{}
	p := &play{now: &now, st: st}
	id, err := accounts.Open(t.Context(), st, accounts.Options{Limits: p.limits(), Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	for _, who := range []string{"alice@local.test", "bob@local.test"} {
		_, err := id.Add(t.Context(), addr(t, who), passwordOf(0), accounts.Sending{Role: accounts.RolePerson}, nil)
		must(t, err)
		leaves[who] = certificateOf(t, who, now).Leaf
	}
	return st, leaves
}

func certificateOf(t *testing.T, who string, now time.Time) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: who}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(100 * 365 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, &key.PublicKey, key)
	must(t, err)
	leaf, err = x509.ParseCertificate(der)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// handshaken is what a server knows of a connection.
func handshaken(t *testing.T, now time.Time) tls.ConnectionState {
	ours, theirs := net.Pipe()
	server := tls.Server(ours, &tls.Config{Certificates: []tls.Certificate{certificateOf(t, "mx.local.test", now)}, SessionTicketsDisabled: true})
	client := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true})
	met := make(chan error, 1)
	go func() { met <- client.Handshake() }()
	must(t, server.Handshake())
	must(t, <-met)
	return server.ConnectionState()
}

// copied is a store with the same content.
func copied(t *rapid.T, from store.Store) store.Store {
	to, tx := mem.New(), store.Tx{}
	err := from.Scan(context.Background(), store.Range{}, func(key, value []byte) (bool, error) {
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: slices.Clone(key), Value: slices.Clone(value)})
		return true, nil
	})
	if err == nil {
		_, err = to.Apply(context.Background(), tx, store.Durable)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func none(accounts.Credential) [][]byte     { return nil }
func untold([]accounts.Credential) [][]byte { return nil }

// operator is what an operator does to accounts.
func (p *play) operator() map[string]func(*rapid.T) {
	ctx := context.Background()
	pick := func(t *rapid.T) *person { return rapid.SampledFrom(p.people).Draw(t, "who") }
	done := func(err error) {
		if err != nil {
			p.t.Fatal(err)
		}
	}
	revoke := func(h *person, ids ...string) {
		_, err := p.id.Revoke(ctx, p.address(h), accounts.Choice{IDs: ids}, untold)
		done(err)
	}
	return map[string]func(*rapid.T){
		"freeze or thaw": func(t *rapid.T) {
			h := pick(t)
			if h.frozen = rapid.Bool().Draw(t, "freeze"); h.frozen {
				_, err := p.id.Freeze(ctx, p.address(h), "test", nil)
				done(err)
			} else {
				_, err := p.id.Thaw(ctx, p.address(h), nil)
				done(err)
			}
			p.frosts[h]++
		},
		"new password": func(t *rapid.T) {
			h, n := pick(t), rapid.IntRange(0, 3).Draw(t, "password")
			_, err := p.id.SetPassword(ctx, p.address(h), passwordOf(n), nil)
			done(err)
			for i := range p.seats { // what rests on the former one is over, also if it is the same
				if s := &p.seats[i]; s.of == h && s.byPassword {
					s.gone = func() bool { return true }
				}
			}
			h.password, h.revoked = n, false
		},
		"new app password": func(t *rapid.T) {
			h, a := pick(t), &owned{reads: rapid.IntRange(0, 3).Draw(t, "scope") == 0}
			scope := accounts.ScopeSend
			if a.reads {
				scope = accounts.ScopeReceive
			}
			c, secret, err := p.id.AddApp(ctx, p.address(h), accounts.AppPassword{Name: fmt.Sprint("app ", len(h.apps)), Scope: scope}, none)
			done(err)
			a.id, a.secret = c.ID, secret
			h.apps = append(h.apps, a)
		},
		"enroll": func(t *rapid.T) {
			h := pick(t)
			if h.device != nil && !h.device.revoked {
				t.Skip("it is")
			}
			c, err := p.id.Enroll(ctx, p.address(h), accounts.Device{Name: "laptop", Certificate: h.leaf, Scope: accounts.ScopeAll}, none)
			done(err)
			h.device = &owned{id: c.ID}
		},
		"revoke": func(t *rapid.T) {
			h := pick(t)
			switch n := rapid.IntRange(0, 3).Draw(t, "what"); {
			case n == 0 && !h.revoked:
				all, err := p.id.Credentials(p.address(h))
				done(err)
				revoke(h, all[0].ID) // the password comes first
				h.revoked = true
			case n == 1 && h.device != nil:
				revoke(h, h.device.id)
				h.device.revoked = true
			case len(h.apps) > 0:
				a := rapid.SampledFrom(h.apps).Draw(t, "app")
				revoke(h, a.id)
				a.revoked = true
			}
		},
	}
}

// world are those who sign in, those who guess, and time.
func (p *play) world() map[string]func(*rapid.T) {
	pick := func(t *rapid.T) *person { return rapid.SampledFrom(p.people).Draw(t, "who") }
	where := func(t *rapid.T) netip.Addr {
		if n := rapid.IntRange(0, 11).Draw(t, "network"); n > 1 {
			return strange(n)
		} else {
			return homeOf(n)
		}
	}
	password := func(t *rapid.T) {
		p.password(pick(t), where(t), rapid.IntRange(0, 3).Draw(t, "password"), rapid.IntRange(0, 9).Draw(t, "SCRAM") == 0)
	}
	return map[string]func(*rapid.T){
		"password": password,
		"right password at home": func(t *rapid.T) {
			n := rapid.IntRange(0, len(p.people)-1).Draw(t, "who")
			p.password(p.people[n], homeOf(n), p.people[n].password, false)
		},
		"guesses": func(t *rapid.T) {
			h := pick(t)
			for range rapid.IntRange(1, 25).Draw(t, "guesses") {
				p.guess(h, strange(rapid.IntRange(0, 40).Draw(t, "network")), false)
			}
		},
		"guess by SCRAM": func(t *rapid.T) {
			if h, from := pick(t), where(t); rapid.IntRange(0, 4).Draw(t, "really") == 0 {
				p.guess(h, from, true)
			}
		},
		"app password": func(t *rapid.T) {
			h := pick(t)
			if len(h.apps) == 0 {
				t.Skip("it has none")
			}
			p.app(h, rapid.SampledFrom(h.apps).Draw(t, "app"), where(t), rapid.IntRange(0, 9).Draw(t, "SCRAM") == 0)
		},
		"certificate": func(t *rapid.T) { p.certificate(pick(t), where(t)) },
		"token":       func(t *rapid.T) { p.token(pick(t), where(t), rapid.IntRange(0, 3).Draw(t, "over") == 0) },
		"time": func(t *rapid.T) {
			*p.now = p.now.Add(time.Duration(rapid.IntRange(0, 900).Draw(t, "seconds")) * time.Second)
		},
		"restart": func(t *rapid.T) {
			if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
				p.start()
			}
		},
		"": func(*rapid.T) { p.check() },
	}
}

// The desk with real accounts, whatever comes in which order: right passwords, wrong ones again and
// again or each once, app passwords, certificates and tokens from many networks, while time
// passes, an operator freezes, changes and revokes, and the server starts again. At most ten
// passwords are judged at an account within ten minutes, and what the reserve and restarts add. An
// owner who is known where he is gets in, and by what nobody guesses from anywhere. What was revoked
// never lets in, and what it let in before is over at once. And a guess is answered as it is
// where there is no account at all.
func TestNoOrderOfSignInsMatters(t *testing.T) {
	for name, value := range map[string]string{"rapid.checks": sequences, "rapid.steps": steps} {
		if f := flag.Lookup(name); f.Value.String() == f.DefValue {
			must(t, f.Value.Set(value))
			defer func() { must(t, f.Value.Set(f.DefValue)) }()
		}
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	provider := oidctest.New(t, func() time.Time { return now })
	judge, err := oidc.New(oidc.Provider{Issuer: provider.URL, Audience: oidctest.Audience, Scope: oidctest.Scope, Clients: []string{oidctest.Client}, Claim: "email"},
		oidc.Means{Limits: oidc.DefaultLimits(), Now: func() time.Time { return now }, Dial: (&net.Dialer{}).DialContext})
	must(t, err)
	// Of a token that has ended, it is told whose it was only where the key is known that signed it: until
	// then it counts as a guess.
	_, err = judge.Token(t.Context(), provider.Token("alice@local.test", nil))
	must(t, err)
	st, leaves := template(t, now)
	state := handshaken(t, now)
	rapid.Check(t, func(t *rapid.T) {
		p := &play{t: t, now: &now, st: copied(t, st), empty: mem.New(), provider: provider, judge: judge, tls: state, frosts: map[*person]int{}}
		for _, who := range []string{"alice@local.test", "bob@local.test"} {
			p.people = append(p.people, &person{who: who, leaf: leaves[who], known: map[netip.Addr]bool{}})
		}
		p.start()
		if rapid.Bool().Draw(t, "every rate is full") {
			now = now.Add(24 * time.Hour)
		}
		all := p.world()
		for name, f := range p.operator() {
			all[name] = f
		}
		t.Repeat(all)
	})
}
