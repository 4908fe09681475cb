package intake_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/fact"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/storetest"
)

// course is a message on its way in.
type course struct {
	who, text string // "" for a stranger
	to        []string
	offered   bool // it is offered to a server behind, and not queued
}

// Whatever operation of the store fails while a message comes, its sender is told to come
// again, or that it is taken, and then it is; nothing is left of what was not taken, nobody is
// charged for it, one fact says so, and the same message is taken the next time.
func TestIntakeBearsADiskThatStumbles(t *testing.T) {
	large := message + strings.Repeat("a line of a large message\r\n", 200)
	for name, c := range map[string]course{
		"a stranger's":       {to: []string{"<bob@local.test>"}, text: large},
		"a submission":       {who: "alice@local.test", to: []string{"<x@remote.test>", "<bob@local.test>"}, text: large},
		"one that is passed": {who: "alice@local.test", to: []string{"<a@cut.test>"}, text: large, offered: true},
		"one passed in part": {who: "alice@local.test", to: []string{"<a@cut.test>", "<bob@local.test>"}, text: message},
		"a small submission": {who: "alice@local.test", to: []string{"<x@remote.test>"}, text: message},
	} {
		t.Run(name, func(t *testing.T) {
			for at := 1; stumble(t, c, at); at++ {
				if t.Failed() {
					t.Fatalf("with operation %d failing", at)
				}
			}
		})
	}
}

// stumble sends a message to a store that fails once, and reports whether it did.
func stumble(t *testing.T, of course, at int) bool {
	t.Helper()
	g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "2.0.0", "saved")}}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: g, spool: spool.Limits{InlineOctets: 1000}})
	st := storetest.Stumble(w.st.Store, at, store.ErrUnavailable)
	w.st.Store = st
	kind, from := server.KindMX, "<x@far.test>"
	if of.who != "" {
		kind, from = server.KindSubmissions, "<"+of.who+">"
	}
	c := w.connect(kind)
	if of.who != "" {
		c.want(c.signIn(of.who, password), 235)
	}
	try := func() mail.Reply {
		c.want(c.from(from), 250)
		for _, to := range of.to {
			c.want(c.to(to), 250)
		}
		return c.data(of.text)
	}
	w.facts()
	st.Arm(true)
	r := try()
	st.Arm(false)
	w.wantCourse(of, r, len(g.took))
	if !r.OK() {
		c.want(try(), 250)
	}
	if !st.Fired() && at == 1 {
		t.Error("the store was not asked")
	}
	return st.Fired()
}

// wantCourse demands of a message that it is taken or not, as its sender was told.
func (w *world) wantCourse(of course, r mail.Reply, took int) {
	w.t.Helper()
	names, err := w.st.Blobs().List()
	must(w.t, err)
	entries, handed, charged, told := w.spool.Stats().Entries, len(w.handed), w.used("alice@local.test"), 0
	for _, f := range w.facts() {
		if f.Kind != fact.KindAccept && f.Kind != fact.KindRefuse {
			continue
		}
		if (f.Kind == fact.KindAccept) == r.OK() && (r.OK() || f.Rule == "storage-unavailable") {
			told++
		}
		if !slices.Equal(f.Recipients, bare(of.to)) {
			w.t.Errorf("the fact names %q", f.Recipients)
		}
	}
	if r.OK() {
		// What is passed on is told to the journal, which writes it itself.
		if of.offered != (handed == 0) || of.offered != (entries == 0) || told != 1 && !(of.offered && told == 2) {
			w.t.Errorf("taken: %v, %d stored, %d handed over, told %d times", r, entries, handed, told)
		}
		return
	}
	if r.Code/100 != 4 || handed != 0 || entries != 0 || len(names) != 0 || told != 1 || took == 0 && charged != 0 {
		w.t.Errorf("put off: %v, %d stored, %d files, %d handed over, told %d times, %d charged", r, entries, len(names), handed, told, charged)
	}
}

// bare are addresses without their brackets.
func bare(paths []string) (out []string) {
	for _, p := range paths {
		out = append(out, strings.Trim(p, "<>"))
	}
	return out
}

// What is passed on to the server behind is told as delivered, by the same name in the answer and
// in the fact.
func TestWhatIsPassedOnIsToldAsDelivered(t *testing.T) {
	g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "2.0.0", "saved")}}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: g})
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<a@cut.test>"), 250)
	r := c.data(message)
	found := false
	for _, f := range w.facts() {
		if f.Kind == fact.KindAccept {
			found = true
			if f.Reply != r || r.Text != fmt.Sprint("delivered as ", f.Queue) {
				t.Errorf("answered %v, told %v", r, f.Reply)
			}
		}
	}
	if !found {
		t.Error("nothing is told")
	}
}
