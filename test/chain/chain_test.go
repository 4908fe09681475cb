package chain

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/test/halt"
)

// story sends letters and keeps the account: what was accepted must lie somewhere at
// the end, once, and nothing else may.
type story struct {
	*wire
	s     *server
	count int
	want  map[string][]string // where each message that was accepted must end
	held  map[string]string   // which are held at the end, and words of the reason
}

// tells sends a letter and demands the answer at the door. ends are the mailboxes
// where it must lie at the end.
func (st *story) tells(answer string, l letter, ends ...string) string {
	st.t.Helper()
	st.count++
	l.token = fmt.Sprintf("m%d", st.count)
	got := st.send(l)
	if got.String() != answer {
		st.t.Errorf("%s from <%s> to %v (%q): answered %s, want %s: %s", l.token, l.from, l.to, l.subject, got, answer, got.text)
	}
	if len(ends) > 0 {
		slices.Sort(ends)
		st.want[l.token] = ends
	}
	return l.token
}

// holds notes that a message must end with being held, for a reason.
func (st *story) holds(token, why string) { st.held[token] = why }

// notifies notes that alice must be told about a message.
func (st *story) notifies(token string) {
	st.want["notification "+token] = []string{"ours alice"}
}

// settles waits until nothing is under way but what is held or named, and compares.
func (st *story) settles() {
	st.t.Helper()
	last := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if last = st.differs(); last == "" {
			return
		}
	}
	st.t.Fatal(last)
}

// differs says what is not where it belongs.
func (st *story) differs() string {
	var wrong []string
	found := st.mail()
	for key, boxes := range found {
		slices.Sort(boxes)
		if !slices.Equal(boxes, st.want[key]) {
			wrong = append(wrong, fmt.Sprintf("%s lies in %q, want %q", key, boxes, st.want[key]))
		}
	}
	for key, boxes := range st.want {
		if len(found[key]) == 0 {
			wrong = append(wrong, fmt.Sprintf("%s lies nowhere, want %q", key, boxes))
		}
	}
	queue := st.s.queue()
	for token, q := range queue {
		if why, ok := st.held[token]; !ok || q.State != "held" || !strings.Contains(q.Reason, why) {
			wrong = append(wrong, fmt.Sprintf("%s is %s in the queue (%s): %+v", token, q.State, q.Reason, q.Recipients))
		}
	}
	for token, why := range st.held {
		if _, ok := queue[token]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s is not held for %q", token, why))
		}
	}
	slices.Sort(wrong)
	return strings.Join(wrong, "\n")
}

const (
	eve   = "eve@remote.test" // a stranger, or who was made to look like one
	alice = "alice@ours.test"
)

// Nothing vanishes, and nothing is bounced to a stranger, whatever the servers behind
// and beyond do. Rows L14, L15, L18, L32, N12, N19 of the catalogue of relay cases.
func TestChain(t *testing.T) {
	w := newWire(t)
	dns := w.unbound()
	dovecot := w.dovecot()
	inner := w.postfix("inner", "sam@shield.test", "sid@shield.test", "sue@shield.test", "cas@cut.test")
	w.postfix("remote", "rob@remote.test", eve)
	mx := fmt.Sprintf("[mx]\ndns = [\"%s:53\"]\n", hosts["dns"])
	st := &story{wire: w, s: w.sallyport(mx), want: map[string][]string{}, held: map[string]string{}}

	st.known()
	st.unknown()
	st.changesItsMind()
	st.cutThrough()
	st.fullMailbox()
	st.beyondASCII()
	st.privateAddresses()
	st.settles()
	dovecot = st.stopped(dovecot)
	st.slow(inner)
	st.settles()
	st.withoutDNS(dns)
	st.settles()
}

// known: everybody gets what is theirs.
func (st *story) known() {
	st.t.Helper()
	st.tells("250 250", letter{from: eve, to: []string{"ada@dove.test"}}, "dovecot ada")
	st.tells("250 250", letter{from: eve, to: []string{"ada+news@dove.test"}}, "dovecot ada")
	st.tells("250 250", letter{from: eve, to: []string{"sam@shield.test"}}, "inner sam@shield.test")
	st.tells("250 250", letter{from: eve, to: []string{alice}}, "ours alice")
	st.tells("250 250 250 250", letter{from: alice, inside: true, to: []string{"ada@dove.test", "sam@shield.test", alice}},
		"dovecot ada", "inner sam@shield.test", "ours alice")
	// L18: an answer to nobody is a message like another.
	st.tells("250 250", letter{from: "", to: []string{"sam@shield.test"}}, "inner sam@shield.test")
}

// unknown: nobody is let in who is not there. L32.
func (st *story) unknown() {
	st.t.Helper()
	for _, nobody := range []string{"nobody@ours.test", "nobody@dove.test", "nobody@shield.test", "nobody@cut.test", "sam%remote.test@shield.test"} {
		st.tells("550 0", letter{from: eve, to: []string{nobody}})
		st.tells("550 0", letter{from: alice, inside: true, to: []string{nobody}})
	}
	st.tells("550 0", letter{from: eve, to: []string{"rob@remote.test"}})
	st.tells("550 250 250", letter{from: eve, to: []string{"nobody@dove.test", "ada@dove.test"}}, "dovecot ada")
	// The postmaster is always there; what is refused later is held.
	st.holds(st.tells("250 250", letter{from: eve, to: []string{"postmaster@shield.test"}}), "User unknown")
}

// changesItsMind: the server behind takes the recipient and then not the message. A
// stranger is told nothing, our own sender is. L14, L15.
func (st *story) changesItsMind() {
	st.t.Helper()
	st.holds(st.tells("250 250", letter{from: eve, to: []string{"sam@shield.test"}, subject: "evil"}), "we do not want this")
	st.notifies(st.tells("250 250", letter{from: alice, inside: true, to: []string{"sam@shield.test"}, subject: "evil"}))
	// One of two destinations has it, and does not get it again.
	both := st.tells("250 250 250", letter{from: eve, to: []string{"sam@shield.test", "ada@dove.test"}, subject: "evil"}, "dovecot ada")
	st.holds(both, "we do not want this")
}

// cutThrough: the answer of the server behind is ours.
func (st *story) cutThrough() {
	st.t.Helper()
	st.tells("250 250", letter{from: eve, to: []string{"cas@cut.test"}}, "inner cas@cut.test")
	st.tells("250 554", letter{from: eve, to: []string{"cas@cut.test"}, subject: "evil"})
	st.tells("250 250 250", letter{from: alice, inside: true, to: []string{"cas@cut.test", alice}}, "inner cas@cut.test", "ours alice")
	// Somebody else is to have it: who is refused is reported to our own sender.
	mixed := st.tells("250 250 250", letter{from: alice, inside: true, to: []string{"cas@cut.test", alice}, subject: "evil"}, "ours alice")
	st.notifies(mixed)
}

// privateAddresses: a mail exchanger within private networks is not dialled until
// somebody says that it may be, and our own addresses never. N12.
func (st *story) privateAddresses() {
	st.t.Helper()
	far := letter{from: alice, inside: true, to: []string{"rob@remote.test"}}
	refused := st.tells("250 250", far)
	trapped := st.tells("250 250", letter{from: alice, inside: true, to: []string{"x@trap.test"}})
	st.notifies(refused)
	st.notifies(trapped)
	eventually(st.t, "alice is told that private addresses are not dialled", func() bool {
		found := st.mail()
		return len(found["notification "+refused]) > 0 && len(found["notification "+trapped]) > 0
	})
	st.s.again("private = [\"10.77.0.0/24\", \"127.0.0.0/8\"]\n")
	st.tells("250 250", far, "remote rob@remote.test")
	// Nobody beyond is there: our own sender is told, and only he.
	st.notifies(st.tells("250 250", letter{from: alice, inside: true, to: []string{"nobody@remote.test"}}))
}

// stopped: Dovecot is gone for a while. Who is known waits, who is not is put off.
func (st *story) stopped(dovecot *process) *process {
	st.t.Helper()
	known := st.tells("250 250", letter{from: eve, to: []string{"ada@dove.test"}}, "dovecot ada")
	// Who stops in the middle may have stored what it never acknowledged: it would come
	// twice, as RFC 2033 has it.
	eventually(st.t, "ada is known, and nothing is under way to her", func() bool {
		_, waits := st.s.queue()[known]
		return len(st.mail()[known]) == 1 && !waits
	})
	dovecot.stop()
	st.tells("250 250", letter{from: eve, to: []string{"ada@dove.test"}}, "dovecot ada")
	st.tells("451 0", letter{from: eve, to: []string{"abe@dove.test"}})
	st.tells("250 250", letter{from: eve, to: []string{"sam@shield.test"}}, "inner sam@shield.test")
	dovecot = st.dovecot()
	st.tells("250 250", letter{from: eve, to: []string{"abe@dove.test"}}, "dovecot abe")
	return dovecot
}

// slow: the inner Postfix stands still. Others do not wait for it.
func (st *story) slow(inner *postfix) {
	st.t.Helper()
	inner.each(halt.Stop)
	st.tells("451 0", letter{from: eve, to: []string{"sid@shield.test"}})
	st.tells("250 250", letter{from: eve, to: []string{"sam@shield.test"}}, "inner sam@shield.test")
	st.tells("250 250", letter{from: eve, to: []string{"ada@dove.test"}}, "dovecot ada")
	inner.each(func(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) })
	st.tells("250 250", letter{from: eve, to: []string{"sid@shield.test"}}, "inner sid@shield.test")
}

// withoutDNS: silence and failure neither bounce nor open.
func (st *story) withoutDNS(dns *process) {
	st.t.Helper()
	silent := st.tells("250 250", letter{from: alice, inside: true, to: []string{"x@silent.test"}})
	broken := st.tells("250 250", letter{from: alice, inside: true, to: []string{"x@broken.test"}})
	eventually(st.t, "the DNS is silent and fails, and the mail waits", func() bool {
		queue := st.s.queue()
		for _, token := range []string{silent, broken} {
			q := queue[token]
			if q.State != "waiting" || !strings.HasPrefix(q.Recipients[0].Last, "4") {
				return false
			}
		}
		return true
	})
	st.s.command("queue", "rm", "--recipient", "x@silent.test")
	st.s.command("queue", "rm", "--recipient", "x@broken.test")
	dns.stop()
	waits := st.tells("250 250", letter{from: alice, inside: true, to: []string{"rob@remote.test"}}, "remote rob@remote.test")
	// What needs no DNS goes on, and nobody is let through who was not before.
	st.tells("250 250", letter{from: eve, to: []string{"ada@dove.test"}}, "dovecot ada")
	st.tells("550 0", letter{from: eve, to: []string{"rob@remote.test"}})
	st.tells("550 0", letter{from: eve, to: []string{"nobody@dove.test"}})
	if q, ok := st.s.queue()[waits]; ok && q.State != "waiting" {
		st.t.Errorf("without a DNS the message is %s", q.State)
	}
	st.unbound()
}
