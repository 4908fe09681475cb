package chain

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// fullMailbox: Dovecot refuses a full mailbox for good, and only when it has the message.
// The message waits and says why, and goes in when there is room. Where the server behind
// answers while the sender waits, it is the sender who waits; and each such recipient has
// an answer of his own.
func (st *story) fullMailbox() {
	st.t.Helper()
	waits := st.tells("250 250", letter{from: eve, to: []string{"fay@dove.test"}}, "dovecot fay")
	both := st.tells("250 250 250", letter{from: eve, to: []string{"ada@dove.test", "fay@dove.test"}}, "dovecot ada", "dovecot fay")
	own := st.tells("250 250", letter{from: alice, inside: true, to: []string{"fay@dove.test"}}, "dovecot fay")
	st.tells("250 250", letter{from: eve, to: []string{"nan@nook.test"}}, "dovecot nan")
	st.tells("250 451", letter{from: eve, to: []string{"ned@nook.test"}})
	st.tells("250 452 250", letter{from: eve, to: []string{"nan@nook.test", "ned@nook.test"}}, "dovecot nan")
	st.tells("250 452 250", letter{from: eve, to: []string{"ada@dove.test", "nan@nook.test"}}, "dovecot ada")
	for _, token := range []string{waits, both, own} {
		eventually(st.t, "the reason of "+token, func() bool {
			q, ok := st.s.queue()[token]
			last := ""
			for _, r := range q.Recipients {
				if r.Address == "fay@dove.test" {
					last = r.Last
				}
			}
			return ok && q.State == "waiting" && strings.HasPrefix(last, "452 4.2.2 the mailbox is full; the server behind says: 552 5.2.2")
		})
	}
	people := filepath.Join(st.dir, "dovecot/users")
	text, err := os.ReadFile(people)
	must(st.t, err)
	must(st.t, os.WriteFile(people, []byte(strings.ReplaceAll(string(text), "bytes=1", "bytes=1000000")), 0o644))
	must(st.t, os.Chtimes(people, time.Time{}, time.Now().Add(time.Second))) // Dovecot goes by the second
}

// beyondASCII: Dovecot's LMTP takes no address beyond ASCII, and nobody is told 250.
func (st *story) beyondASCII() {
	st.t.Helper()
	st.tells("550 0", letter{from: "jürgen@remote.test", to: []string{"ada@dove.test"}})
	st.tells("250 550 250", letter{from: "jürgen@remote.test", to: []string{alice, "ada@dove.test"}}, "ours alice")
}
