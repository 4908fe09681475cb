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
// send; that each recipient outside our domains is judged by gate.Decide and leaves on
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
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
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
	Put(ctx context.Context, m spool.Message, body *spool.Body, facts [][]byte) (spool.Claim, error)
}

// Options are everything that a Sender works with; all but Sign and Account are
// required.
type Options struct {
	Hostname  mail.Domain
	Account   mail.Address // who answers for reports; zero: nobody, and nothing is sent
	Directory func() *directory.Snapshot
	// Standing tells how an account stands now.
	Standing func(account mail.Address) gate.Standing
	Queue    Queue
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
	if o.Hostname.IsZero() || o.Directory == nil || o.Standing == nil || o.Queue == nil || o.Handoff == nil || o.Now == nil || o.Rand == nil || o.Logger == nil {
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
	let, err := s.judge(id, m)
	if err != nil {
		return mail.ID{}, err
	}
	text, err := s.compose(id, m, let)
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
	let.MessageID = s.messageID(id)
	let.Envelope.TLS, let.Also = m.TLS, m.Also
	f := fact.Fact{
		At: s.o.Now(), Kind: fact.KindAccept, Rule: m.Rule, Queue: id, MessageID: let.MessageID, Account: s.o.Account.String(),
		Sender: let.Envelope.From.String(), Size: int64(len(text)), Door: gate.DoorReport.String(), Reply: mail.R(250, "2.0.0", "queued as "+id.String()),
	}
	for _, r := range let.Envelope.To {
		f.Recipients = append(f.Recipients, r.Address.String())
	}
	claim, err := s.o.Queue.Put(ctx, let, body, fact.EncodeAll(f))
	if err != nil {
		return mail.ID{}, err
	}
	s.o.Handoff(claim)
	return id, nil
}

// judge asks the gate about every recipient and returns the message without a body.
func (s *Sender) judge(id mail.ID, m Mail) (spool.Message, error) {
	a := s.o.Account
	if a.IsZero() || s.o.Standing(a) != gate.StandingActive {
		return spool.Message{}, ErrNoAccount
	}
	dir, from := s.o.Directory(), mail.PathOf(a)
	msg := spool.Message{ID: id, Account: a, Envelope: mail.Envelope{From: from}}
	var grants []gate.Grant
	refused := ""
	for _, to := range m.To {
		class := dir.Classify(to)
		v := gate.Decide(gate.Facts{
			Door: gate.DoorReport, Peer: gate.PeerStranger, Auth: gate.AuthNone, Standing: s.o.Standing(a),
			Ownership: dir.Ownership(a, from), Destination: class.Destination,
		}, gate.Subject{Transaction: id, Account: a, Sender: from, Recipient: to})
		// RFC 3461 §4.1: what comes back tells the account nothing that it could use.
		rcpt := mail.Recipient{Address: to, Notify: mail.NotifyNever}
		grant, granted := v.Grant()
		switch {
		case v.Action == gate.Relay && granted:
			msg.Deliveries = append(msg.Deliveries, spool.Delivery{Recipient: rcpt, Kind: spool.KindOutbound})
			grants = append(grants, grant)
		case v.Action == gate.AcceptLocal:
			for _, box := range class.Mailboxes {
				msg.Deliveries = append(msg.Deliveries, spool.Delivery{Recipient: rcpt, Kind: spool.KindLocal, Mailbox: box.Account, Detail: box.Detail})
			}
		default:
			refused = string(v.Rule)
			continue
		}
		msg.Envelope.To = append(msg.Envelope.To, rcpt)
	}
	if len(msg.Deliveries) == 0 {
		return spool.Message{}, fmt.Errorf("%w: %s", ErrRefused, refused)
	}
	if len(grants) > 0 {
		grant, err := gate.Join(grants...)
		if err != nil {
			return spool.Message{}, err
		}
		msg.Grant = grant
	}
	return msg, nil
}

func (s *Sender) messageID(id mail.ID) string {
	return "<" + id.String() + "@" + s.o.Hostname.ASCII() + ">"
}
