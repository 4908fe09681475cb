package intake

import (
	"context"
	"crypto/tls"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
)

// session is one connection's policy state. The engine calls it from one
// goroutine.
type session struct {
	in      *Intake
	conn    server.Conn
	hello   server.Hello
	account accounts.Proof // as it stood at sign-in, and with what; zero: nobody signed in
	local   LocalUser      // at the sendmail door

	accepted, refused int

	// ending ends the session with the time of what was signed in with; nil: that has no end.
	ending *time.Timer
	// leaving is what is offered to a server behind us meanwhile; nil: nothing is.
	leaving atomic.Pointer[letter.Departure]
}

var _ server.Session = (*session)(nil)

// Hello notes the client's name; it is recorded and never trusted.
func (s *session) Hello(_ context.Context, h server.Hello) mail.Reply {
	s.hello = h
	return mail.R(250, "", s.in.Hostname.ASCII())
}

// Refused records what the engine itself refused.
func (s *session) Refused(ctx context.Context, command string, r mail.Reply) {
	s.refuse(ctx, fact.Fact{Rule: "protocol", Text: mail.Printable(command, 200), Reply: r})
}

// Close writes the one fact that sums the connection up.
func (s *session) Close(ctx context.Context, why string) {
	now := s.in.Now()
	f := fact.Disconnected{
		At: now, Rule: "connection-ended", Session: s.seen(), Why: why, Accepted: s.accepted,
		Evidence: []fact.Pair{
			{Name: "refused", Value: strconv.Itoa(s.refused)},
			{Name: "lasted", Value: now.Sub(s.conn.Started).Round(time.Millisecond).String()},
		},
	}.Fact()
	if s.anonymous() {
		if s.accepted == 0 {
			s.in.Journal.Stranger(f)
			return
		}
	} else {
		if s.ending != nil {
			s.ending.Stop()
		}
		s.in.live.remove(s.account.Address, s)
		if s.accepted == 0 {
			s.tell(ctx, s.account.Address, f)
			return
		}
	}
	s.write(ctx, f)
}

// become takes the session for that of whoever gave the proof, as long as what he proved it
// with has time. What he sends is asked about in any case; a session that could do nothing
// any more is told so.
func (s *session) become(p accounts.Proof) {
	s.account = p
	if s.conn.Vouch != nil {
		s.conn.Vouch(func() bool { return s.in.Accounts.Fallen(p) == "" })
	}
	if !p.Ends.IsZero() {
		s.ending = time.AfterFunc(max(0, p.Ends.Sub(s.in.Now())), s.conn.End)
	}
}

func (s *session) anonymous() bool { return s.account.Address.IsZero() }

// refuse counts and records a refusal: a stranger's is aggregated and kept apart,
// an account's is evidence. The fact brings what the refusal was about.
func (s *session) refuse(ctx context.Context, about fact.Fact) mail.Reply {
	s.refused++
	f := fact.Refused{
		At: s.in.Now(), Rule: about.Rule, Session: s.seen(), Reply: s.noticed(about), Detail: about.Text,
		Sender: about.Sender, Recipients: about.Recipients, MessageID: about.MessageID, Evidence: about.Evidence,
	}.Fact()
	if why := s.fallen(); why != "" {
		f = f.Evidenced("standing", why)
	}
	if s.anonymous() {
		s.in.Journal.Stranger(f)
	} else {
		s.tell(ctx, s.account.Address, f)
	}
	return f.Reply
}

// write records a fact that accompanies no other change. A journal that can't be
// written is reported; the store refuses new mail by itself in that state.
func (s *session) write(ctx context.Context, f fact.Fact) {
	if err := s.in.Journal.Write(context.WithoutCancel(ctx), f); err != nil {
		s.in.Logger.Error("fact not recorded", "kind", string(f.Kind), "conn", s.conn.ID, "err", err)
	}
}

// seen is what is known of the connection.
func (s *session) seen() fact.Session { return s.seenAs(s.account) }

// seenAs is seen once p is proved.
func (s *session) seenAs(p accounts.Proof) fact.Session {
	of := fact.Session{
		Conn: s.conn.ID, Peer: peer(s.conn), Door: doorName(s.conn.Kind),
		Hello: s.hello.Name, TLS: tlsName(s.hello.TLS), Account: p.Address.String(),
	}
	if s.conn.Kind == server.KindSendmail {
		of.Evidence = append(of.Evidence, fact.Pair{Name: "local user", Value: s.local.name(s.conn.UID)})
	}
	if ids := p.CredentialIDs(); ids != "" {
		of.Evidence = append(of.Evidence, fact.Pair{Name: fact.EvidenceCredential, Value: ids})
	}
	if b := s.conn.Balancer; b.IsValid() {
		of.Evidence = append(of.Evidence, fact.Pair{Name: fact.EvidenceBalancer, Value: b.String()})
	}
	return of
}

// noticed returns the reply of a refusal, with the administrator's notice where a
// stranger asked for what he has no right to. It stays one line: a client may show
// its user no more than that.
func (s *session) noticed(about fact.Fact) mail.Reply {
	r := about.Reply
	if gate.Rule(about.Rule) == gate.RuleSignInRequired && s.hello.TLS != nil {
		if why := s.in.Accounts.Lapsed(s.peer()); why != "" {
			r.Text += ": " + why
		}
	}
	if s.in.notice() == "" || !s.anonymous() {
		return r
	}
	switch gate.Rule(about.Rule) {
	case gate.RuleRelayDenied, gate.RuleSignInRequired, gate.RuleMXOwnSender:
		r.Text += "; " + s.in.notice()
	}
	return r
}

// facts collects what the gate asks about the session.
func (s *session) facts() gate.Facts {
	f := gate.Facts{Door: door(s.conn.Kind), Peer: gate.PeerStranger, Auth: gate.AuthNone, Standing: gate.StandingNone}
	if s.anonymous() {
		return f
	}
	f.Auth, f.Standing = gate.AuthPassword, gate.StandingFrozen
	if s.account.Credentials[0].Kind == accounts.KindCertificate {
		f.Auth = gate.AuthCertificate
	}
	if f.Door == gate.DoorSendmail {
		f.Auth = gate.AuthLocalUID
	}
	if s.fallen() == "" {
		f.Standing = gate.StandingActive
	}
	return f
}

// fallen says why the account that signed in may do nothing any more; "" if it
// may.
func (s *session) fallen() string {
	if s.anonymous() {
		return ""
	}
	return s.in.Accounts.Fallen(s.account)
}

func door(k server.Kind) gate.Door {
	switch k {
	case server.KindMX:
		return gate.DoorMX
	case server.KindSubmission, server.KindSubmissions:
		return gate.DoorSubmission
	case server.KindSendmail:
		return gate.DoorSendmail
	}
	return gate.DoorUnknown
}

func doorName(k server.Kind) string {
	switch k {
	case server.KindMX:
		return "mx"
	case server.KindSubmission:
		return "submission"
	case server.KindSubmissions:
		return "submissions"
	case server.KindSendmail:
		return "sendmail"
	}
	return "unknown"
}

func tlsName(cs *tls.ConnectionState) string {
	if cs == nil {
		return ""
	}
	return tls.VersionName(cs.Version) + " " + tls.CipherSuiteName(cs.CipherSuite)
}

// sessions knows the live signed-in sessions of each account, so that they can be
// bounded and ended.
type sessions struct {
	mu    sync.Mutex
	limit int
	by    map[string]map[*session]signedIn // by the account's key
}

// signedIn is what is told of a session that is still open, and what it rests on.
type signedIn struct {
	since time.Time
	as    fact.Session
	proof accounts.Proof
}

func (s *session) signedInAs(p accounts.Proof) signedIn { return signedIn{s.in.Now(), s.seenAs(p), p} }

func newSessions(limit int) *sessions {
	return &sessions{limit: limit, by: map[string]map[*session]signedIn{}}
}

func (l *sessions) adjust(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = limit
}

// add reports false when the account has as many sessions as it may.
func (l *sessions) add(p accounts.Proof, s *session, in signedIn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	set := l.by[p.Address.Key()]
	if len(set) >= l.limit {
		return false
	}
	if set == nil {
		set = map[*session]signedIn{}
		l.by[p.Address.Key()] = set
	}
	set[s] = in
	return true
}

func (l *sessions) remove(account mail.Address, s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := account.Key()
	delete(l.by[key], s)
	if len(l.by[key]) == 0 {
		delete(l.by, key)
	}
}

// end ends those sessions of an account whose proof is one to end, and returns how many
// there were.
func (l *sessions) end(account mail.Address, ends func(accounts.Proof) bool) int {
	l.mu.Lock()
	all := maps.Clone(l.by[account.Key()])
	l.mu.Unlock()
	var set []*session
	for s, in := range all {
		if ends(in.proof) {
			set = append(set, s)
		}
	}
	// Outside the lock: a session that ends removes itself.
	for _, s := range set {
		s.conn.End()
		if out := s.leaving.Load(); out != nil {
			out.Recheck()
		}
	}
	return len(set)
}

// all returns what is told of every one.
func (l *sessions) all() []signedIn {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []signedIn
	for _, set := range l.by {
		out = slices.AppendSeq(out, maps.Values(set))
	}
	return out
}
