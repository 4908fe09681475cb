package crash

import (
	"strings"
	"testing"

	"sallyport/test/load/rig"
)

// TestOneClientHasOneSyncForEachMessage traces the server's system calls while one client sends:
// between the octets of a message and its 250 the log of the store is synced once, not twice. (Not
// at all is what TestEachReplyWaitsForItsSync looks for.) What is lazy is synced by itself when
// nothing else was for a second, which few messages meet even on a machine with much to do.
func TestOneClientHasOneSyncForEachMessage(t *testing.T) {
	var sessions []session
	v := traced(t, "", func(s *rig.Server) {
		for client := range 3 {
			sessions = append(sessions, speak(t, s, client))
		}
	})
	once, messages := 0, 0
	for _, x := range sessions {
		for i, reply := range v.replies(x) {
			if x.sent[i].large {
				continue // it is a file beside the log
			}
			messages++
			switch n := v.logSyncs(x.sent[i], reply); {
			case n == 1:
				once++
			case n == 0:
				t.Errorf("%s: 250 without a sync of the log", x.sent[i].id)
			}
		}
	}
	t.Logf("%d of %d messages with one sync", once, messages)
	if want := len(sessions) * perClient * (everyLarge - 1) / everyLarge; messages != want || once <= messages*3/4 {
		t.Errorf("%d of %d messages, want %d, were answered after one sync", once, messages, want)
	}
}

// logSyncs counts the syncs of the store's log from the first octet of a message that was written
// there to its reply.
func (v *verifier) logSyncs(m sent, reply call) (n int) {
	first := -1
	for _, c := range v.calls {
		of := c.target()
		switch {
		case !strings.HasPrefix(of, v.store+"/") || !strings.HasSuffix(of, ".log"):
		case first < 0 && c.isWrite() && strings.Contains(c.args, m.mark()+" "):
			first = c.start
		case first >= 0 && c.isSync() && c.start > first && c.end < reply.start:
			n++
		}
	}
	return n
}
