// Package daily counts what we report about to other domains, and tells it to them day by
// day: TLS results, what came in their name, and whatever else a standard asks for.
//
// Reports does what all kinds have in common. It counts by domain and UTC day, in bounded
// memory and in the store, and has the form that is in force tell it when the day is over:
// spread over some hours, again while that fails, and for no longer than a day. It promises
// that a domain is told once at most where it is told by mail, that not more reports leave
// as mail in a day than is allowed, and that beyond the bounds it counts what is lost.
//
// Sender sends a report as mail of an account: the one that the administrator named for
// reports. It promises that nothing is sent without such an account, or while that may not
// send; that each recipient outside our domains is judged by the gate and leaves on
// a Grant of that account, in its own name, through the same queue as all other mail
// (its holds, freezes and budgets apply); and that Send's success means that the
// report is durable.
package daily

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

var (
	// ErrNoAccount says that no account answers for reports: none was named, it does
	// not exist, or it may not send now.
	ErrNoAccount = errors.New("daily: no account that may send answers for reports")
	// ErrRefused says that the gate lets the report go to nobody.
	ErrRefused = errors.New("daily: refused")
	// ErrMail says that a report cannot be written as mail.
	ErrMail = errors.New("daily: this is no mail")
)

// Queue is what is needed of the spool.
type Queue interface {
	NewBody(ctx context.Context) (*spool.Body, error)
	letter.Queue
}

// Options are everything that a Sender works with; all but Sign, Servers and Account are
// required.
type Options struct {
	Hostname  mail.Domain
	Account   mail.Address // who answers for reports; zero: nobody, and nothing is sent
	Directory func() *directory.Snapshot
	// Active reports whether an account exists and may send now.
	Active func(account mail.Address) bool
	Queue  Queue
	// Servers asks the servers behind us about recipients of our own domains; nil: what
	// only they know is not known, and nothing is sent there.
	Servers letter.Servers
	// Sign returns the header fields that sign a message of the domain; nil: nothing
	// is signed.
	Sign func(from mail.Domain, h message.Header, body []byte) ([]byte, error)
	// Handoff receives each report with its first claim; it must not block.
	Handoff func(spool.Claim)
	Now     func() time.Time
	Rand    io.Reader
	Logger  *slog.Logger
}

// Sender sends reports. It is safe for concurrent use.
type Sender struct{ o Options }

// New returns a Sender.
func New(o Options) (*Sender, error) {
	if o.Hostname.IsZero() || o.Directory == nil || o.Active == nil || o.Queue == nil || o.Handoff == nil || o.Now == nil || o.Rand == nil || o.Logger == nil {
		return nil, errors.New("daily: an option is missing")
	}
	return &Sender{o}, nil
}

// Account returns who answers for reports; the zero Address is nobody.
func (s *Sender) Account() mail.Address { return s.o.Account }

// Mail is a report.
type Mail struct {
	To      []mail.Address
	Subject string  // printable ASCII
	Fields  []Field // further header fields
	Type    string  // of the multipart: "report; report-type=tlsrpt", "mixed"
	Parts   []Part
	// Rule names in the trace what it is: "tls-report".
	Rule string
	TLS  mail.TLSDemand
	// Also is changed in the act that queues the report, such as the mark that it was.
	Also []store.Mutation
}

// Field is a header field, in ASCII.
type Field struct{ Name, Value string }

// Send queues a report to those of its recipients that the gate lets it go to, and
// returns its queue id. Errors: ErrNoAccount, ErrRefused, ErrMail, and those of
// spool.Put.
func (s *Sender) Send(ctx context.Context, m Mail) (mail.ID, error) {
	id, err := mail.NewID(s.o.Now(), s.o.Rand)
	if err != nil {
		return mail.ID{}, err
	}
	draft, err := s.judge(ctx, id, m)
	if err != nil {
		return mail.ID{}, err
	}
	text, err := s.compose(id, m, draft.Envelope.To)
	if err != nil {
		return mail.ID{}, err
	}
	body, err := s.o.Queue.NewBody(ctx)
	if err != nil {
		return mail.ID{}, err
	}
	defer func() { _ = body.Abort() }() // does nothing once Put took it
	if _, err := io.Copy(body, bytes.NewReader(text)); err != nil {
		return mail.ID{}, err
	}
	f := fact.Accepted{
		At: s.o.Now(), Rule: m.Rule, Session: fact.Session{Door: gate.DoorReport.String(), Account: s.o.Account.String()},
		Message: fact.Message{Queue: id, MessageID: s.messageID(id), Sender: draft.Envelope.From.String(), Size: int64(len(text))},
		Reply:   mail.R(250, "2.0.0", "queued as "+id.String()),
	}
	for _, r := range draft.Envelope.To {
		f.Recipients = append(f.Recipients, r.Address.String())
	}
	claim, err := draft.Post(ctx, s.o.Queue, letter.Content{MessageID: s.messageID(id), Also: m.Also}, body, f.Fact())
	if err != nil {
		return mail.ID{}, err
	}
	s.o.Handoff(claim)
	return id, nil
}

// judge asks the gate about every recipient, and the servers behind us where only they
// know him, and returns the draft of the message.
func (s *Sender) judge(ctx context.Context, id mail.ID, m Mail) (*letter.Draft, error) {
	a := s.o.Account
	if a.IsZero() || !s.o.Active(a) {
		return nil, ErrNoAccount
	}
	dir, from := s.o.Directory(), mail.PathOf(a)
	draft := &letter.Draft{
		ID: id, Account: a, Envelope: mail.Envelope{From: from, TLS: m.TLS}, Ownership: dir.Ownership(a, from),
		Session: letter.Ours(gate.DoorReport, func() gate.Standing {
			if s.o.Active(a) {
				return gate.StandingActive
			}
			return gate.StandingFrozen
		}),
	}
	ask, _ := letter.Asking(ctx, s.o.Servers, dir, netip.Addr{})
	refused := ""
	for _, to := range m.To {
		j := draft.Judge(to, dir.Classify(to), ask)
		// RFC 3461 §4.1: what comes back tells the account nothing that it could use.
		part, ok := j.Part(mail.Recipient{Address: to, Notify: mail.NotifyNever})
		if !ok {
			refused = string(j.Rule)
			continue
		}
		draft.Add(part)
	}
	if len(draft.Deliveries()) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrRefused, refused)
	}
	return draft, nil
}

func (s *Sender) messageID(id mail.ID) string {
	return "<" + id.String() + "@" + s.o.Hostname.ASCII() + ">"
}
