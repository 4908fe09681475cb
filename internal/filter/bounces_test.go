package filter_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"context"

	"sallyport/internal/filter"
	"sallyport/internal/filter/bounce"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
)

// Each answer of the trace, each choice of the administrator.
func TestBounceTable(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	local := must[mail.Domain](t)(mail.ParseDomain("local.test"))
	far := must[mail.Domain](t)(mail.ParseDomain("far.test"))
	ours := func(d mail.Domain) bool { return d == local }
	old, young := filter.Sent{Since: now.Add(-15 * 24 * time.Hour)}, filter.Sent{Since: now.Add(-13 * 24 * time.Hour)}
	known := filter.Sent{Ours: true}
	named := bounce.Returned{MessageID: "<1@local.test>"}
	from := bounce.Returned{MessageID: "<1@elsewhere.test>", Domains: []mail.Domain{local}}
	foreign := bounce.Returned{MessageID: "<1@far.test>", Domains: []mail.Domain{far}}
	nameless := bounce.Returned{Domains: []mail.Domain{local}}
	none := bounce.Policy{Forged: bounce.TreatAccept, Unnamed: bounce.TreatAccept}
	junk := bounce.Policy{Forged: bounce.TreatJunk, Unnamed: bounce.TreatJunk}
	for name, tc := range map[string]struct {
		kind     bounce.Kind
		returned []bounce.Returned
		sent     []filter.Sent
		policy   bounce.Policy
		want     intake.Action
		rule     string
	}{
		"no bounce":                 {bounce.NoBounce, nil, nil, bounce.Policy{}, intake.Pass, ""},
		"of our mail":               {bounce.Report, []bounce.Returned{from}, []filter.Sent{known}, bounce.Policy{}, intake.Pass, ""},
		"by its identifier":         {bounce.Report, []bounce.Returned{named}, []filter.Sent{old}, bounce.Policy{}, intake.Refuse, "bounce-forged"},
		"by its author":             {bounce.Plain, []bounce.Returned{from}, []filter.Sent{old}, bounce.Policy{}, intake.Refuse, "bounce-forged"},
		"somebody else's":           {bounce.Report, []bounce.Returned{foreign}, []filter.Sent{old}, bounce.Policy{}, intake.Pass, ""},
		"the trace is young":        {bounce.Report, []bounce.Returned{from}, []filter.Sent{young}, bounce.Policy{}, intake.Pass, ""},
		"the trace is empty":        {bounce.Report, []bounce.Returned{from}, []filter.Sent{{}}, bounce.Policy{}, intake.Pass, ""},
		"one of two is ours":        {bounce.Report, []bounce.Returned{from, named}, []filter.Sent{old, known}, bounce.Policy{}, intake.Pass, ""},
		"forged, kept apart":        {bounce.Report, []bounce.Returned{from}, []filter.Sent{old}, junk, intake.Junk, "bounce-forged"},
		"forged, let in":            {bounce.Report, []bounce.Returned{from}, []filter.Sent{old}, none, intake.Pass, ""},
		"names nothing, refused":    {bounce.Report, nil, nil, bounce.Policy{}, intake.Refuse, "bounce-without-origin"},
		"names nothing, kept apart": {bounce.Plain, nil, nil, junk, intake.Junk, "bounce-without-origin"},
		"names nothing, let in":     {bounce.Report, []bounce.Returned{nameless}, []filter.Sent{{}}, none, intake.Pass, ""},
	} {
		f := filter.JudgeBounce(bounce.Found{Kind: tc.kind, Returned: tc.returned}, filter.Known{Returned: tc.sent}, tc.policy, ours, now)
		if f.Action != tc.want || f.Rule != tc.rule && f.Action != intake.Pass || (f.Action == intake.Refuse) != (f.Reply.Code == 550) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// traced is a trace that knows these, back to since.
type traced struct {
	sent  []string
	queue mail.ID
	since time.Time
	err   error
}

// Sent implements filter.Trace.
func (t traced) Sent(_ context.Context, id string) (bool, error) {
	return slices.Contains(t.sent, id), t.err
}

// SentAs implements filter.Trace.
func (t traced) SentAs(_ context.Context, id mail.ID) (bool, error) { return id == t.queue, t.err }

// Since implements filter.Trace.
func (t traced) Since(context.Context) (time.Time, error) { return t.since, t.err }

// Only mail from outside with the null path is looked at; a trace that cannot tell has
// the bounce come again.
func TestBouncesOfStrangersAlone(t *testing.T) {
	text := "From: MAILER-DAEMON@far.test\r\n\r\nMessage-ID: <1@local.test>\r\n"
	b := filter.Bounces{
		InForce: func() *filter.Checks { return nil },
		Ours:    func(mail.Domain) bool { return true }, Return: func(mail.Address) bool { return false },
		Trace: traced{err: errors.New("the disk is gone")},
		Now:   time.Now,
	}
	null := func(m *intake.Message) { m.Envelope.From = mail.NullPath() }
	if f := judge(t, b, text); f.Action != intake.ActionUnknown {
		t.Errorf("a message with a sender was looked at: %+v", f)
	}
	if f := judge(t, b, text, null); f.Action != intake.Defer || f.Rule != "bounce-not-looked-up" {
		t.Errorf("without a trace: %+v", f)
	}
	b.Return = func(mail.Address) bool { return true }
	if f := judge(t, b, text, null); f.Action != intake.ActionUnknown {
		t.Errorf("a bounce to a return path of ours was looked at: %+v", f)
	}
}

// Whatever a bounce names is looked up until something is ours; what is only mentioned
// proves, and accuses nobody.
func TestBounceLookUp(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	queue := must[mail.ID](t)(mail.NewID(now, strings.NewReader("123456789")))
	b := filter.Bounces{
		InForce: func() *filter.Checks {
			return filter.NewChecks(filter.ChecksOptions{Bounces: bounce.Policy{Unnamed: bounce.TreatRefuse}})
		},
		Ours: func(d mail.Domain) bool { return d.ASCII() == "local.test" }, Return: func(mail.Address) bool { return false },
		Trace: traced{sent: []string{"<1@local.test>", "1@local.test"}, queue: queue, since: now.Add(-30 * 24 * time.Hour)},
		Now:   func() time.Time { return now },
	}
	null := func(m *intake.Message) { m.Envelope.From = mail.NullPath() }
	const head = "From: MAILER-DAEMON@far.test\r\n"
	for name, tc := range map[string]struct {
		text   string
		action intake.Action
		rule   string
	}{
		"another identifier first": {head + "\r\nMessage-ID: <x@far.test>\r\n\r\nFrom: alice@local.test\r\nMessage-ID: <1@local.test>\r\n", intake.Pass, ""},
		"one of ours that is none": {head + "\r\nMessage-ID: <2@local.test>\r\n\r\nFrom: alice@local.test\r\nMessage-ID: <1@local.test>\r\n", intake.Pass, ""},
		"forged":                   {head + "\r\nMessage-ID: <x@far.test>\r\n\r\nFrom: alice@local.test\r\nMessage-ID: <2@local.test>\r\n", intake.Refuse, "bounce-forged"},
		"cut by quoted-printable":  {head + "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nFrom: alice@local.test\r\nMessage-ID: <1@loc=\r\nal.test>\r\n", intake.Pass, ""},
		"forged and cut":           {head + "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nFrom: alice@local.test\r\nMessage-ID: <2@loc=\r\nal.test>\r\n", intake.Refuse, "bounce-forged"},
		"mentioned":                {head + "\r\nYour mail <1@local.test> did not arrive\r\n", intake.Pass, ""},
		"an address is no proof":   {head + "\r\nYour mail <alice@local.test> did not arrive\r\n", intake.Refuse, "bounce-without-origin"},
		"by our queue":             {head + "\r\nReceived: by mx.local.test id " + queue.String() + "\r\n", intake.Pass, ""},
		"by somebody's queue":      {head + "\r\nReceived: by mx.local.test id 0123456789abcdefghjkmnpq\r\n", intake.Refuse, "bounce-without-origin"},
	} {
		if f := judge(t, b, tc.text, null); f.Action != tc.action || f.Rule != tc.rule {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
