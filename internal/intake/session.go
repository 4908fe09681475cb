package intake

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/signin"
	"sallyport/internal/smtp/server"
)

// session is one connection's policy state. The engine calls it from one
// goroutine at a time.
type session struct {
	in     *Intake
	conn   *server.Conn
	hello  server.Hello
	visit  *signin.Visit // with whom it belongs to
	local  *LocalUser    // at the sendmail door; nil elsewhere
	exempt bool          // from the bounds of its network, by a line of the administrator's list

	accepted, refused int
	// message is the one in the making, or that was cut off, about which the engine says by itself what it says; nil:
	// none is.
	message *transaction

	// leaving is what is offered to a server behind us meanwhile; nil: nothing is.
	leaving atomic.Pointer[letter.Departure]
}

var _ server.Session = (*session)(nil)

// Hello notes the client's name; it is recorded and never trusted.
func (s *session) Hello(_ context.Context, h server.Hello) mail.Reply {
	s.leaveNetwork()
	s.hello, s.message = h, nil
	return mail.R(250, "", s.in.Hostname.ASCII())
}

// Refused records what the engine itself refused.
func (s *session) Refused(ctx context.Context, command string, r mail.Reply) {
	s.refuse(ctx, s.ofMessage(command, fact.Fact{Rule: RuleProtocol, Text: mail.Printable(command, mail.TextShown), Reply: r}))
}

// ofMessage adds what the message was that the engine refuses something of: whoever asks what became of it knows that,
// and not the connection. One that was cut off is spoken of as its data is, and no more afterwards.
func (s *session) ofMessage(command string, f fact.Fact) fact.Fact {
	t := s.message
	if t != nil && t.cutOff {
		if s.message = nil; !strings.HasPrefix(command, "DATA") && !strings.HasPrefix(command, "BDAT") {
			return f
		}
	}
	if t != nil {
		f.Sender, f.Recipients, f.MessageID = t.draft.Envelope.From.String(), t.recipients(), t.messageID
	}
	return f
}

// Close writes the one fact that sums the connection up.
func (s *session) Close(ctx context.Context, why string) {
	now := s.in.Now()
	f := fact.Disconnected{
		At: now, Rule: fact.RuleConnectionEnded, Session: s.seen(), Why: why, Accepted: s.accepted,
		Evidence: []fact.Pair{
			{Name: "refused", Value: strconv.Itoa(s.refused + s.visit.Refused())},
			{Name: "lasted", Value: now.Sub(s.conn.Started).Round(time.Millisecond).String()},
		},
	}.Fact()
	if why := s.fallen(); why != "" {
		f = f.Evidenced("standing", why) // which is why it was told to go, most often
	}
	if t := s.message; t != nil && why != server.EndQuit {
		f.Sender, f.Recipients, f.MessageID = t.draft.Envelope.From.String(), t.recipients(), t.messageID
	}
	if s.anonymous() {
		if s.accepted == 0 {
			s.in.Journal.Stranger(f)
			return
		}
	} else {
		s.visit.Leave()
		if s.accepted == 0 {
			s.tell(ctx, s.account().Address, f)
			return
		}
	}
	s.write(ctx, f)
}

// account is the account as it stood at sign-in, and with what that was; zero: nobody signed in.
func (s *session) account() accounts.Proof { return s.visit.Proof() }

func (s *session) anonymous() bool { return s.visit.Anonymous() }

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
		s.tell(ctx, s.account().Address, f)
	}
	return f.Reply
}

// Unserved records a connection that had no session: it was turned away, had no PROXY header, or its TLS failed.
func (in *Intake) Unserved(u server.Unserved) {
	of := fact.Session{Conn: u.Conn, Peer: u.Remote.Unmap(), Door: doorName(u.Kind)}
	if u.Rule == "" {
		in.Journal.Stranger(fact.Disconnected{At: in.Now(), Rule: fact.RuleConnectionEnded, Session: of, Why: u.Why}.Fact())
		return
	}
	in.Journal.Stranger(fact.Refused{At: in.Now(), Rule: u.Rule, Session: of, Reply: u.Reply, Detail: u.Why}.Fact())
}

// tell records a fact of somebody who signed in, and that accompanies no message.
func (s *session) tell(ctx context.Context, account mail.Address, f fact.Fact) {
	s.in.Desk.Tell(ctx, account, f)
}

// write records a fact that accompanies no other change.
func (s *session) write(ctx context.Context, f fact.Fact) { s.in.Desk.Write(ctx, f) }

// seen is what is known of the connection.
func (s *session) seen() fact.Session { return s.seenAs(s.account()) }

// seenAs is seen once p is proved.
func (s *session) seenAs(p accounts.Proof) fact.Session {
	of := fact.Session{
		Conn: s.conn.ID, Peer: peer(s.conn), Door: doorName(s.conn.Kind),
		Hello: s.hello.Name, TLS: signin.TLSName(s.hello.TLS), Account: p.Address.String(),
	}
	if s.local != nil {
		of.Evidence = append(of.Evidence, fact.Pair{Name: "local user", Value: s.local.Who(s.conn.UID)})
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
		if why := s.in.Accounts.Lapsed(s.Peer()); why != "" {
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
	switch s.account().Credentials[0].Kind {
	case accounts.KindCertificate:
		f.Auth = gate.AuthCertificate
	case accounts.KindToken:
		f.Auth = gate.AuthToken
	}
	if s.byNetwork() {
		f.Auth = gate.AuthNetworkAccount
		if s.networkCounts() {
			f.Peer = gate.PeerProvenNetwork
		}
	}
	if f.Door == gate.DoorSendmail {
		f.Auth = gate.AuthLocalUID
	}
	switch known, exists := s.in.Accounts.Lookup(s.account().Address); {
	case s.fallen() == "":
		f.Standing = gate.StandingActive
	case exists && known.Standing == accounts.StandingActive && known.Sends():
		f.Standing = gate.StandingRevoked
	}
	return f
}

// fallen says why the account that signed in may do nothing any more; "" if it
// may.
func (s *session) fallen() string { return s.visit.Fallen() }

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
