package intake_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/bind"
	"sallyport/internal/bind/review"
	"sallyport/internal/fact"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
)

// found are the findings of sender binding, in words.
func (w *world) found() (all []string) {
	for _, f := range w.findings.List(mail.Address{}) {
		all = append(all, fmt.Sprintf("%s %s %s %d %d", f.Account, f.Name, f.Where, f.Taken, f.Refused))
	}
	return all
}

func reporting(t *testing.T, inspectors ...intake.Inspector) *world {
	return newWorldOf(t, setup{limits: intake.DefaultLimits(), binding: bind.Report, inspectors: inspectors})
}

func headed(fields string) string {
	return strings.Replace(message, "From: Alice <alice@local.test>\r\n", fields, 1)
}

const aliceSends = "Sender: <alice@local.test>\r\n"

// Where binding only reports, a name of ours is taken: the message leaves in the account's own
// name and on its own Grant, says who sent it, and the name is kept with it.
func TestReportedNames(t *testing.T) {
	for name, c := range map[string]struct {
		from, text string
		field      string // that the message gains; "": none
		without    string // what it has no longer
		found      []string
		authors    string // that signing is told of
	}{
		"honest":   {from: "<alice@local.test>", text: message},
		"envelope": {from: "<bob@local.test>", text: message, found: []string{"bob@local.test envelope 1 0"}},
		"a shared alias in both": {from: "<all@local.test>", text: headed("From: all@local.test\r\n"), field: aliceSends,
			found: []string{"all@local.test envelope 1 0", "all@local.test From 1 0"}, authors: "all@local.test"},
		"null path":              {from: "<>", text: headed("From: Bob@LOCAL.test\r\n"), field: aliceSends, found: []string{"bob@local.test From 1 0"}, authors: "Bob@local.test"},
		"nobody of ours":         {from: "<nosuch@local.test>", text: message, found: []string{"nosuch@local.test envelope 1 0"}},
		"another domain of ours": {from: "<alice@local.test>", text: headed("From: zoe@behind.test\r\n"), field: aliceSends, found: []string{"zoe@behind.test From 1 0"}, authors: "zoe@behind.test"},
		"her own Sender": {from: "<alice@local.test>", text: headed("From: bob@local.test\r\nSender: Al <alice@local.test>\r\n"),
			found: []string{"bob@local.test From 1 0"}, authors: "bob@local.test"},
		"a forged Sender": {from: "<alice@local.test>", text: headed("From: alice@local.test\r\nSender: bob@local.test\r\n"), field: aliceSends, without: "bob@",
			found: []string{"bob@local.test Sender 1 0"}},
		"resent as another": {from: "<alice@local.test>", text: "Resent-From: bob@local.test\r\n" + message, field: "Resent-" + aliceSends,
			found: []string{"bob@local.test Resent-From 1 0"}},
		"a forged Resent-Sender": {from: "<alice@local.test>", text: "Resent-From: alice@local.test\r\nResent-Sender: bob@local.test\r\n" + message, field: "Resent-" + aliceSends,
			without: "bob@", found: []string{"bob@local.test Resent-Sender 1 0"}},
		"twice in one message": {from: "<alice@local.test>", text: headed("From: bob@local.test, Bob <bob@local.test>\r\n"), field: aliceSends,
			found: []string{"bob@local.test From 1 0"}, authors: "bob@local.test bob@local.test"},
	} {
		t.Run(name, func(t *testing.T) {
			see := &reader{name: "see", say: pass("")}
			w := reporting(t, see)
			s := w.signedIn("alice@local.test")
			s.want(s.from(c.from), 250)
			s.want(s.to("<x@remote.test>"), 250)
			s.want(s.data(c.text), 250)
			claim, text := w.only()
			own := "<alice@local.test>"
			if c.from == "<>" {
				own = "<>"
			}
			to := addr(t, "x@remote.test")
			if e := claim.Entry; e.Envelope.From.String() != own || e.Account != addr(t, "alice@local.test") || !claim.Grant.Covers(e.ID, e.Envelope.From, to) {
				t.Errorf("it leaves as %v of %v, on the grant of %v", e.Envelope.From, e.Account, claim.Grant.Sender())
			}
			if c.field != "" && strings.Count(text, c.field) != 1 || c.field == "" && strings.Contains(text, aliceSends) || c.without != "" && strings.Contains(text, c.without) {
				t.Errorf("%s", text)
			}
			for i := range c.found {
				c.found[i] = "alice@local.test " + c.found[i]
			}
			if got := w.found(); !slices.Equal(got, c.found) {
				t.Errorf("found %q", got)
			}
			if got := strings.Trim(fmt.Sprint(see.saw.NotOwned), "[]"); got != c.authors {
				t.Errorf("signing is told of %q", got)
			}
			f := w.oneFact("submission-relay")
			if _, told := f.Find("sender binding only reports"); told != (len(c.found) > 0) {
				t.Errorf("the trace says %+v", f.Evidence)
			}
		})
	}
}

// What binding that only reports refuses all the same: names that are not ours, what cannot
// be told for certain, everybody who did not sign in, and whoever may not send.
func TestWhatReportingNeverTakes(t *testing.T) {
	for name, c := range map[string]struct {
		kind  server.Kind
		as    string
		say   string // from, and the text
		code  int
		found string
	}{
		"a foreign envelope":    {as: "alice@local.test", say: "<ceo@bank.test>", code: 553, found: "@bank.test envelope 0 1"},
		"an address literal":    {as: "alice@local.test", say: "<x@[192.0.2.1]>", code: 553, found: "@an address literal envelope 0 1"},
		"a foreign author":      {as: "alice@local.test", say: "<alice@local.test>|" + headed("From: ceo@bank.test\r\n"), code: 550, found: "@bank.test From 0 1"},
		"a foreign Sender":      {as: "alice@local.test", say: "<alice@local.test>|Sender: ceo@bank.test\r\n" + message, code: 550, found: "@bank.test Sender 0 1"},
		"a foreign resender":    {as: "alice@local.test", say: "<alice@local.test>|Resent-From: ceo@bank.test\r\n" + message, code: 550, found: "@bank.test Resent-From 0 1"},
		"one of two is foreign": {as: "alice@local.test", say: "<alice@local.test>|" + headed("From: bob@local.test, ceo@bank.test\r\n"), code: 550, found: "@bank.test From 0 1,bob@local.test From 0 1"},
		"a domain below ours":   {as: "alice@local.test", say: "<alice@local.test>|" + headed("From: x@sub.local.test\r\n"), code: 550, found: "@sub.local.test From 0 1"},
		"two From fields":       {as: "alice@local.test", say: "<alice@local.test>|From: bob@local.test\r\n" + message, code: 550},
		"no author":             {as: "alice@local.test", say: "<alice@local.test>|" + headed(""), code: 550},
		"an unclear author":     {as: "alice@local.test", say: "<alice@local.test>|" + headed("From: staff:bob@local.test;\r\n"), code: 550},
		"nobody signed in":      {kind: server.KindSubmission, say: "<bob@local.test>", code: 530},
		"our sender on port 25": {kind: server.KindMX, say: "<bob@local.test>", code: 550},
	} {
		t.Run(name, func(t *testing.T) {
			w := reporting(t)
			s := w.open(c.kind, c.as)
			from, text, whole := strings.Cut(c.say, "|")
			r := s.from(from)
			if whole {
				s.want(r, 250)
				s.want(s.to("<x@remote.test>"), 250)
				r = s.data(text)
			}
			s.want(r, c.code)
			w.empty()
			var want []string
			for _, f := range strings.FieldsFunc(c.found, func(r rune) bool { return r == ',' }) {
				want = append(want, "alice@local.test "+f)
			}
			if got := w.found(); !slices.Equal(got, want) {
				t.Errorf("found %q, want %q", got, want)
			}
		})
	}
}

// An account that is frozen between MAIL and the end of data sends nothing, in any name.
func TestReportingAndAFrozenAccount(t *testing.T) {
	w := reporting(t)
	c := w.signedIn("alice@local.test")
	c.want(c.from("<bob@local.test>"), 250)
	c.want(c.to("<x@remote.test>"), 250)
	_, err := w.identity.Freeze(t.Context(), addr(t, "alice@local.test"), "incident", nil)
	must(t, err)
	c.want(c.data(message), 550)
	c.want(c.from("<bob@local.test>"), 550)
	w.empty()
	if got := w.found(); got != nil {
		t.Errorf("found %q", got)
	}
}

// At the sendmail door it is the same. Where binding is enforced nothing is kept.
func TestReportingAtTheSendmailDoor(t *testing.T) {
	for _, mode := range []bind.Mode{bind.Enforce, bind.Report} {
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), binding: mode})
		c, _ := w.local(1000)
		if mode == bind.Enforce {
			c.want(c.from("<bob@local.test>"), 553)
			c.want(c.from("<x@far.test>"), 553)
		} else {
			c.want(c.from("<bob@local.test>"), 250)
			c.want(c.to("<x@remote.test>"), 250)
			c.want(c.data(message), 250)
		}
		if got := w.found(); (len(got) == 1) != (mode == bind.Report) {
			t.Errorf("%v: found %q", mode, got)
		}
	}
}

// Whoever watches accounts is not told of what was taken: it is what an administrator asked to
// see, and no evidence. What is refused is.
func TestReportedNamesAreNoEvidence(t *testing.T) {
	watch := &watcher{}
	claims := func(told string) bool { return strings.Contains(told, "claimed") }
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), binding: bind.Report, watch: watch})
	c := w.signedIn("alice@local.test")
	c.want(c.from("<bob@local.test>"), 250)
	if slices.ContainsFunc(watch.told, claims) {
		t.Errorf("told %v", watch.told)
	}
	c.want(c.from("<ceo@bank.test>"), 553)
	if !slices.ContainsFunc(watch.told, claims) {
		t.Errorf("told %v", watch.told)
	}
	if f := w.oneFact("sender-not-owned"); f.Kind != fact.KindRefuse {
		t.Errorf("%+v", f)
	}
}

// What enters no queue, since a server behind us takes it at once, has its names kept as well,
// and that server sees the account's own.
func TestReportedNamesOfWhatIsPassedOn(t *testing.T) {
	g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "2.0.0", "saved")}}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), binding: bind.Report, recipients: g})
	c := w.signedIn("alice@local.test")
	c.want(c.from("<bob@local.test>"), 250)
	c.want(c.to("<a@cut.test>"), 250)
	c.want(c.data(headed("From: bob@local.test\r\n")), 250)
	w.empty()
	if got := w.found(); len(got) != 2 || !strings.Contains(g.text, aliceSends) {
		t.Errorf("found %q of\n%s", got, g.text)
	}
	again, err := review.Open(t.Context(), w.st, review.Options{Limits: review.DefaultLimits(), Now: w.clock, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	if got := again.List(mail.Address{}); len(got) != 2 {
		t.Errorf("after a restart: %+v", got)
	}
}
