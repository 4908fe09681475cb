package dispatch_test

import (
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// signs gives each sender a mark, as a signature does, and counts what it was asked.
func (w *world) signs(asked *[]string) {
	w.sign = func(from mail.Address, received time.Time) (mail.Address, bool) {
		if received.IsZero() {
			w.t.Errorf("%s was received at no time", from)
		}
		*asked = append(*asked, from.String())
		if from.Local() == "älice" {
			return mail.Address{}, false
		}
		return addr("signed=" + from.String()), true
	}
	w.restart()
}

// What leaves bears a signed return path; what stays here, the queue, the facts and the
// notification do not.
func TestWhatLeavesIsSigned(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var asked []string
		w.signs(&asked)
		w.routes["far.test"].fn = always(550, "5.1.1", "nobody")
		w.routes["slow.test"].fn = always(450, "4.2.1", "later")
		id := w.send(fresh("bob@local.test", "a@remote.test", "b@far.test", "c@slow.test"))
		w.queued(1, 0)
		e, ok := w.entry(id)
		if !ok || e.Envelope.From != mail.PathOf(addr("alice@local.test")) {
			t.Errorf("the queue has %+v", e.Envelope)
		}
		for _, domain := range []string{"remote.test", "far.test", "slow.test"} {
			if jobs := w.routes[domain].jobs; len(jobs) != 1 || jobs[0].Envelope.From != mail.PathOf(addr("signed=alice@local.test")) {
				t.Errorf("%s got %+v", domain, jobs)
			}
		}
		if from := w.local.jobs[0].Envelope.From; from != mail.PathOf(addr("alice@local.test")) {
			t.Errorf("the mailbox got it from %s", from)
		}
		if len(asked) != 1 || asked[0] != "alice@local.test" {
			t.Errorf("asked for %q", asked)
		}
		signed := map[string]string{}
		for _, f := range w.facts(fact.KindOutcome) {
			signed[f.Recipients[0]] = ""
			for _, p := range f.Evidence {
				if p.Name == fact.EvidenceReturnPath {
					signed[f.Recipients[0]] = p.Value
				}
			}
			if f.Queue == id && f.Sender != "<alice@local.test>" && f.Sender != "alice@local.test" {
				t.Errorf("a fact names the sender %q", f.Sender)
			}
		}
		for to, want := range map[string]string{"bob@local.test": "", "a@remote.test": "signed=alice@local.test", "b@far.test": "signed=alice@local.test", "c@slow.test": "signed=alice@local.test"} {
			got, told := signed[to]
			if !told || got != want && got != "<"+want+">" {
				t.Errorf("the outcome of %s says %q", to, got)
			}
		}
		if n := w.notices(); len(n) != 1 {
			t.Errorf("%d notifications of what failed", len(n))
		}
	})
}

// Null paths, senders that take no signature, forwards and strangers' mail keep theirs.
func TestWhatIsNotSigned(t *testing.T) {
	inForward(t, false, []string{"a@remote.test"}, func(t *testing.T, w *world) {
		var asked []string
		w.signs(&asked)
		w.sendTo(stranger("alice@local.test"), "alice@local.test")
		w.queued(0, 0)
		w.send(letterOf{account: "alice@local.test", from: "", to: []string{"b@remote.test"}})
		w.queued(0, 0)
		w.send(letterOf{account: "älice@local.test", from: "älice@local.test", to: []string{"c@remote.test"}})
		w.queued(0, 0)
		jobs := w.routes["remote.test"].jobs
		if len(jobs) != 3 || len(asked) != 1 || asked[0] != "älice@local.test" {
			t.Fatalf("%d left, asked for %q", len(jobs), asked)
		}
		from, _ := jobs[0].Envelope.From.Address()
		if _, err := w.returns.Open(from, 24*time.Hour, time.Now()); err != nil {
			t.Errorf("the forward left with %s: %v", from, err)
		}
		if !jobs[1].Envelope.From.IsNull() || jobs[2].Envelope.From != mail.PathOf(addr("älice@local.test")) {
			t.Errorf("left with %s and %s", jobs[1].Envelope.From, jobs[2].Envelope.From)
		}
		for _, f := range w.facts(fact.KindOutcome) {
			for _, p := range f.Evidence {
				if p.Name == fact.EvidenceReturnPath {
					t.Errorf("%s is said to be signed: %+v", f.Queue, f.Evidence)
				}
			}
		}
	})
}
