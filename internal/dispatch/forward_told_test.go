package dispatch_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// What is told of a forward that fails, and the message that comes into the mailbox after all, do not take the way that
// fails: neither where the account's name is one that no header can bear, nor where the message has no Message-ID.
func TestWhatIsToldOfAForwardStays(t *testing.T) {
	for _, account := range []string{"alice@local.test", "älice@local.test"} {
		for _, unnamed := range []bool{false, true} {
			for _, keep := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, unnamed %v, keep %v", account, unnamed, keep), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t)
						w.forward(keep, account, "a@remote.test")
						tries := 0
						w.routes["remote.test"].fn = func(context.Context, nexthop.Job, mail.Address) mail.Reply {
							if tries++; tries > 20 {
								return mail.R(250, "2.0.0", "so that it ends")
							}
							return mail.R(550, "5.1.1", "nobody here")
						}
						w.start()
						l := stranger(account)
						l.unnamed = unnamed
						w.send(l)
						later(time.Hour)
						w.queued(0, 0)
						if n := len(w.notices()); tries != 1 || n != 1 || w.letters(account) != 1 {
							t.Errorf("%d left, %d notifications, %d copies\n%s", tries, n, w.letters(account), w.logged.String())
						}
						w.stop()
					})
				})
			}
		}
	}
}

// letters counts what is in a mailbox and is no notification.
func (w *world) letters(of string) (n int) {
	w.local.mu.Lock()
	defer w.local.mu.Unlock()
	for i, j := range w.local.jobs {
		if j.Recipients[0].Mailbox == addr(of) && !strings.Contains(w.local.texts[i], "Auto-Submitted") {
			n++
		}
	}
	return n
}
