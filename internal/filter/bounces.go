package filter

import (
	"context"
	"io"
	"slices"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/filter/bounce"
	"sallyport/internal/filter/flood"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
)

// memory is how long the trace must go back before what does not stand in it counts as
// never sent: another server's last attempts and their bounces take less.
const memory = 14 * 24 * time.Hour

// Sent is what the trace knows of messages with a Message-ID.
type Sent struct {
	// Ours: an account of ours submitted one, or one was sent on for an account.
	Ours bool
	// Since is when the oldest fact that is kept was recorded.
	Since time.Time
}

// Trace is what Bounces needs of the kept facts.
type Trace interface {
	// Sent and SentAs report whether an account of ours submitted a message with a
	// Message-ID, or under a queue identifier, or one was sent on for an account.
	Sent(ctx context.Context, messageID string) (bool, error)
	SentAs(ctx context.Context, queue mail.ID) (bool, error)
	// Since returns when the oldest fact that is kept was recorded; zero: there is none.
	Since(ctx context.Context) (time.Time, error)
}

// Bounces recognises bounces of mail that we never sent, by which somebody who forged
// our address is answered at our cost. It is an intake.Inspector.
type Bounces struct {
	// InForce returns the checks in force, which say what becomes of a bounce.
	InForce func() *Checks
	// Ours reports whether all mail in the name of a domain leaves through this server.
	Ours func(mail.Domain) bool
	// Return reports whether an address is a return path that only we can make.
	Return func(mail.Address) bool
	Trace  Trace
	Now    func() time.Time
	Flood  *flood.Gauge // nil: every bounce that is let in is delivered
}

var _ intake.Inspector = Bounces{}

// Name implements intake.Inspector.
func (Bounces) Name() string { return "bounces" }

// Begin implements intake.Inspector.
func (b Bounces) Begin(m intake.Message) intake.Look {
	if m.Door != gate.DoorMX || !m.Account.IsZero() || !m.Envelope.From.IsNull() {
		return nil
	}
	for _, to := range m.Envelope.To {
		if !b.Return(to.Address) {
			return bounceLook{b, m}
		}
	}
	return nil
}

type bounceLook struct {
	b Bounces
	m intake.Message
}

// Body implements intake.Look.
func (bounceLook) Body([]byte) {}

// Judge implements intake.Look.
func (l bounceLook) Judge(ctx context.Context, c intake.Content) intake.Finding {
	f, err := l.read(c)
	if err != nil {
		return intake.Finding{Action: intake.Defer, Rule: RuleBounceUnreadable, Notes: []fact.Pair{{Name: "bounce", Value: err.Error()}}}
	}
	known, err := l.b.lookUp(ctx, f)
	if err != nil {
		// Nothing is guessed: the bounce comes again.
		return intake.Finding{Action: intake.Defer, Rule: RuleBounceNotLookedUp, Notes: []fact.Pair{{Name: "bounce", Value: err.Error()}}}
	}
	finding := JudgeBounce(f, known, l.b.InForce().Bounces(), l.b.Ours, l.b.Now())
	if l.b.Flood == nil || !Foldable(f, known, finding) || l.b.Flood.Passes(l.m.Envelope.To) {
		return finding
	}
	finding.Action, finding.Rule = intake.Hold, flood.Rule
	finding.Reason = "bounces of messages that are not known here come in numbers; a digest counts them"
	return finding
}

// Foldable reports whether a bounce may be held and counted where too many come: one that is let
// in, and of which the trace does not say that it answers our mail.
func Foldable(f bounce.Found, known Known, finding intake.Finding) bool {
	if f.Kind == bounce.NoBounce || finding.Action != intake.Pass && finding.Action != intake.Junk {
		return false
	}
	return known.Ours == "" && !slices.ContainsFunc(known.Returned, func(s Sent) bool { return s.Ours })
}

// Known is what the trace knows of what was found in a bounce.
type Known struct {
	Returned []Sent // one for each returned message
	// Ours is an identifier of a message of ours that stands anywhere else; "": none
	// does.
	Ours string
}

// lookUp asks the trace about everything that was found, until one is ours.
func (b Bounces) lookUp(ctx context.Context, f bounce.Found) (k Known, err error) {
	k.Returned = make([]Sent, len(f.Returned))
	for i, r := range f.Returned {
		if r.MessageID == "" {
			continue
		}
		if k.Returned[i], err = b.sent(ctx, r.MessageID); err != nil || k.Returned[i].Ours {
			return k, err
		}
	}
	for _, id := range f.Mentioned {
		if ours, err := b.Trace.Sent(ctx, id); err != nil || ours {
			k.Ours = id
			return k, err
		}
	}
	for _, id := range f.Queue {
		if ours, err := b.Trace.SentAs(ctx, id); err != nil || ours {
			k.Ours = id.String()
			return k, err
		}
	}
	return k, nil
}

// sent tells what the trace knows of a Message-ID, and of one that it does not know how
// far back it goes.
func (b Bounces) sent(ctx context.Context, messageID string) (s Sent, err error) {
	if s.Ours, err = b.Trace.Sent(ctx, messageID); err == nil && !s.Ours {
		s.Since, err = b.Trace.Since(ctx)
	}
	return s, err
}

func (l bounceLook) read(c intake.Content) (bounce.Found, error) {
	r, err := c.Open()
	if err != nil {
		return bounce.Found{}, err
	}
	head := int64(len(l.m.Stored.Raw()))
	if _, err := io.CopyN(io.Discard, r, head); err != nil {
		return bounce.Found{}, err
	}
	return bounce.DefaultLimits().Read(l.m.Stored, r)
}

// JudgeBounce says what becomes of a message by what was read in it and what the trace
// knows of each returned message.
func JudgeBounce(f bounce.Found, known Known, p bounce.Policy, ours func(mail.Domain) bool, now time.Time) intake.Finding {
	if f.Kind == bounce.NoBounce {
		return intake.Finding{Action: intake.Pass}
	}
	if known.Ours != "" {
		return bouncePass("of our message " + known.Ours)
	}
	named, forged, young := false, "", false
	for i, r := range f.Returned {
		named = named || r.MessageID != ""
		switch {
		case r.MessageID == "":
		case known.Returned[i].Ours:
			return bouncePass("of our message " + r.MessageID)
		case !inOurName(r, ours):
		case known.Returned[i].Since.IsZero() || now.Sub(known.Returned[i].Since) < memory:
			young = true
		default:
			forged = r.MessageID
		}
	}
	switch {
	case !named:
		return treated(p.Unnamed, RuleBounceWithoutOrigin, "a bounce that does not tell of which message",
			mail.R(550, "5.7.1", "this bounce does not tell which message it is about"), "")
	case young:
		return bouncePass("of a message that is not known; the trace does not go back far enough to tell")
	case forged == "":
		return bouncePass("of a message that is not known, in somebody else's name")
	}
	return treated(p.Forged, RuleBounceForged, "a bounce of a message that was never sent from here",
		mail.R(550, "5.7.1", "this bounce is about a message that was never sent from here"), forged)
}

func bouncePass(note string) intake.Finding {
	return intake.Finding{Action: intake.Pass, Notes: []fact.Pair{{Name: "bounce", Value: note}}}
}

// inOurName reports whether a returned message claims to be from here.
func inOurName(r bounce.Returned, ours func(mail.Domain) bool) bool {
	for _, d := range r.Domains {
		if ours(d) {
			return true
		}
	}
	d, ok := r.Origin()
	return ok && ours(d)
}

// treated is the finding on a bounce that is to be treated so.
func treated(t bounce.Treatment, rule, reason string, reply mail.Reply, id string) intake.Finding {
	f := bouncePass(reason)
	if id != "" {
		f.Notes = append(f.Notes, fact.Pair{Name: "returned", Value: id})
	}
	switch t {
	case bounce.TreatAccept:
	case bounce.TreatJunk:
		f.Action, f.Rule, f.Reason = intake.Junk, rule, reason
	default:
		f.Action, f.Rule, f.Reply = intake.Refuse, rule, reply
	}
	return f
}
