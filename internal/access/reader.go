package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/door"
	"sallyport/internal/fact"
	imap "sallyport/internal/imap/server"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/screen"
	"sallyport/internal/signin"
)

// farewell is what a session is told that must end: nobody learns from it what happened to the
// account.
const farewell = "this session is closed; sign in again"

// makeWay is what one is told that nobody signed in to while others need its place.
const makeWay = "too many connections, and nobody signed in to this one; try again later"

// reader is one connection to a door behind which mailboxes are read: what the desk knows of
// it, and what it came to. Its methods are called by one goroutine, but for End.
type reader struct {
	o      *Options
	kind   Kind
	origin door.Origin
	local  netip.AddrPort
	place  *door.Place
	limits *door.Limits
	raw    net.Conn
	visit  *signin.Visit
	user   *mailbox.User // nil: nobody signed in

	id      string
	started time.Time
	channel channel
	program string // as the client named itself, printable; "": it did not
	named   int    // how often it did as something else
	closing bool   // it will not any more
	turned  int    // sign-ins that the engine refused
	// insecure is why TLS failed, one of door's causes; "": it did not.
	insecure string

	mu    sync.Mutex
	end   func(text string) // nil: the engine has not begun
	was   string            // what it is to be told as soon as it has
	ended string            // what it was told at first; "": it was not told to go
}

// channel is what a sign-in comes over.
type channel struct {
	tls         *tls.ConnectionState // nil: clear text
	certificate *x509.Certificate    // that we presented
	offer       string
	plus        bool // SASL can be bound to it
}

// handshake puts TLS on the connection, in its turn.
func (r *reader) handshake(_ context.Context, raw net.Conn, cfg *tls.Config) (*tls.Conn, string, error) {
	now := r.o.Now()
	h := r.o.Admission.Handshake(r.limits, r.origin.Remote.Addr(), now, func() { _ = raw.Close() })
	defer h.End()
	if err := raw.SetDeadline(now.Add(h.Timeout())); err != nil {
		return nil, "", err
	}
	conn, offer, err := h.Over(raw, cfg)
	if err != nil {
		r.insecure = door.HandshakeCause(err)
	}
	return conn, offer, err
}

// endCrowded is why a connection ended that gave way to others.
const endCrowded = "made-room"

// why says of an end more than the engine knows, which calls it the same in imap and pop3: what TLS failed at, and that others needed the
// place of a connection.
func (r *reader) why(end string) string {
	r.mu.Lock()
	ended := r.ended
	r.mu.Unlock()
	switch {
	case end == imap.EndTLS && r.insecure != "":
		return end + ": " + r.insecure
	case end == imap.EndPolicy && ended == makeWay:
		return endCrowded
	}
	return end
}

// unserved records a connection whose TLS failed before the engine had a session to tell.
func (r *reader) unserved() {
	if r.id != "" || r.insecure == "" {
		return
	}
	r.o.Journal.Stranger(fact.Disconnected{
		At: r.o.Now(), Rule: fact.RuleConnectionEnded, Session: r.Seen(accounts.Proof{}), Why: r.why(imap.EndTLS),
	}.Fact())
}

// begins notes how the engine calls the connection and ends it. One that gives way to others
// has a short time to be told so.
func (r *reader) begins(id string, started time.Time, end func(text string)) {
	r.id, r.started = id, started
	r.mu.Lock()
	r.end = end
	was := r.was
	r.mu.Unlock()
	if was != "" {
		end(was)
	}
	r.place.Ending(func() {
		_ = r.raw.SetWriteDeadline(r.o.Now().Add(refusalWriteTimeout))
		r.ends(makeWay)
	})
}

// ends tells the client why its session is over.
func (r *reader) ends(text string) {
	r.mu.Lock()
	end := r.end
	if end == nil {
		r.was = text
	}
	if r.ended == "" {
		r.ended = text
	}
	r.mu.Unlock()
	if end != nil {
		end(text)
	}
}

// offered lists the mechanisms for a channel.
func (r *reader) offered(c channel) []string {
	r.channel = c
	return r.o.Accounts.Offered(r.Peer(), c.plus)
}

// auth begins a SASL exchange.
func (r *reader) auth(c channel, mechanism string) (*signin.Exchange, mail.Reply) {
	r.channel = c
	x, err := r.visit.Begin(mechanism)
	if err != nil {
		f := fact.Refused{At: r.o.Now(), Rule: signin.RuleOf(err), Session: r.Seen(r.visit.Proof()), Reply: accounts.Reply(err), Detail: mail.Printable(err.Error(), maxDetail)}.Fact()
		r.o.Journal.Stranger(f)
		return nil, f.Reply
	}
	return x, mail.Reply{}
}

// refused records what the engine itself refused: a sign-in, or what came behind it.
func (r *reader) refused(ctx context.Context, rule string, reply mail.Reply, detail string) {
	r.turned++
	f := fact.Refused{At: r.o.Now(), Rule: rule, Session: r.Seen(r.visit.Proof()), Reply: reply, Detail: detail}.Fact()
	if r.visit.Anonymous() {
		r.o.Journal.Stranger(f)
		return
	}
	r.o.Desk.TellReading(ctx, r.visit.Proof().Address, f)
}

// Refused implements imap.Session and pop3.Session.
func (r *reader) Refused(ctx context.Context, command, text string) {
	r.refused(ctx, RuleProtocol, mail.Reply{}, command+": "+text)
}

// maxDetail bounds what is kept of a refusal.
const maxDetail = 200

// login signs in with a password that came by a command of the protocol: it is what PLAIN does.
func (r *reader) login(ctx context.Context, c channel, user, password string) mail.Reply {
	x, refusal := r.auth(c, accounts.MechPlain)
	if x == nil {
		return refusal
	}
	_, done, reply := x.Next(ctx, []byte("\x00"+user+"\x00"+password))
	if !done {
		x.Cancel()
		return mail.Reply{}
	}
	return r.settle(ctx, reply)
}

// settle opens the mailboxes of whoever signed in. A sign-in without them is none.
func (r *reader) settle(ctx context.Context, reply mail.Reply) mail.Reply {
	if reply.Code != 235 {
		return reply
	}
	account := r.visit.Proof().Address
	user, err := r.o.Mailboxes(ctx, account)
	if err != nil {
		r.o.Logger.Error("a mailbox could not be opened", "account", account.String(), "conn", r.id, "err", err)
		refusal := mail.R(421, "4.3.0", "the mailbox cannot be opened now; try again later")
		r.refused(ctx, RuleMailboxUnavailable, refusal, "")
		return refusal
	}
	r.user = user
	return reply
}

// identified notes what the client's program calls itself.
func (r *reader) identified(ctx context.Context, fields map[string]string) {
	var words []string
	for _, name := range []string{"name", "version", "os", "os-version", "vendor"} {
		if v := mail.ShownLine(fields[name], maxProgramWord); v != "" {
			words = append(words, v)
		}
	}
	program := mail.ShownLine(strings.Join(words, " "), maxProgram)
	if program == "" || program == r.program || r.named >= mostPrograms {
		return
	}
	r.program, r.named = program, r.named+1
	r.visit.Identified(ctx)
}

const (
	maxProgramWord = 60  // octets of one thing that a program says of itself
	maxProgram     = 160 // octets of all of it
	mostPrograms   = 4   // that one connection is told to be, one after the other: each is judged, and kept
)

// closes sums the connection up.
func (r *reader) closes(ctx context.Context, why string, misbehaved bool) {
	now := r.o.Now()
	f := fact.Disconnected{
		At: now, Rule: fact.RuleConnectionEnded, Session: r.Seen(r.visit.Proof()), Why: r.why(why),
		Evidence: []fact.Pair{
			{Name: "refused", Value: strconv.Itoa(r.visit.Refused() + r.turned)},
			{Name: "lasted", Value: now.Sub(r.started).Round(time.Millisecond).String()},
		},
	}.Fact()
	if why := r.visit.Fallen(); why != "" {
		f = f.Evidenced("standing", why)
	}
	if r.closing = true; r.program == "" {
		r.visit.Identified(ctx)
	}
	r.visit.Leave()
	if r.user != nil {
		r.user.Close()
	}
	if misbehaved {
		r.o.Admission.Misbehaved(r.origin.Remote.Addr())
	}
	if r.visit.Anonymous() {
		r.o.Journal.Stranger(f)
		return
	}
	r.o.Desk.TellReading(ctx, r.visit.Proof().Address, f)
}

// Peer implements signin.Guest.
func (r *reader) Peer() accounts.Peer {
	return accounts.Peer{Remote: r.origin.Remote.Addr().Unmap(), TLS: r.channel.tls, Certificate: r.channel.certificate, For: accounts.ScopeReceive}
}

// Seen implements signin.Guest. What a program calls itself stands where one that sends names its
// host: nothing of either is verified.
func (r *reader) Seen(p accounts.Proof) fact.Session {
	of := fact.Session{
		Conn: r.id, Peer: r.origin.Remote.Addr().Unmap(), Door: r.kind.String(), Hello: r.program, TLS: signin.TLSName(r.channel.tls), Account: p.Address.String(),
	}
	if ids := p.CredentialIDs(); ids != "" {
		of.Evidence = append(of.Evidence, fact.Pair{Name: fact.EvidenceCredential, Value: ids})
	}
	if b := r.origin.Balancer; b.IsValid() {
		of.Evidence = append(of.Evidence, fact.Pair{Name: fact.EvidenceBalancer, Value: b.String()})
	}
	return of
}

// Began implements signin.Guest.
func (r *reader) Began() time.Time { return r.started }

// Offer implements signin.Guest.
func (r *reader) Offer() string { return r.channel.offer }

// Program implements signin.Guest. Before a program has said what it is, it is not known: some do
// so behind the sign-in, and would else be two.
func (r *reader) Program(mechanism string) string {
	if r.program == "" && !r.closing {
		return ""
	}
	words := []string{r.kind.protocol(), mechanism, signin.TLSName(r.channel.tls)}
	if r.program != "" {
		words = append(words, r.program)
	}
	return strings.Join(words, " ")
}

// Known implements signin.Guest.
func (r *reader) Known(still func() bool) {
	r.place.Reach(screen.StageOurs)
	r.o.Admission.Vouch(r.origin.Remote.Addr(), r.o.Now(), still)
}

// End implements signin.Guest.
func (r *reader) End() { r.ends(farewell) }
