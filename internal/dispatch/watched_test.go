package dispatch_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// Whoever watches accounts is told how many of a message's recipients others refused for good:
// not of those who took it, nor of those who will be asked again.
func TestWhoWatchesIsToldOfRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var told []string
		w.refused = func(_ context.Context, account mail.Address, refused, of int) {
			told = append(told, account.String()+" "+strconv.Itoa(refused)+" of "+strconv.Itoa(of))
		}
		w.routes["remote.test"].fn = func(_ context.Context, _ nexthop.Job, to mail.Address) mail.Reply {
			switch to.Local() {
			case "x":
				return mail.R(550, "5.1.1", "no such user")
			case "y":
				return mail.R(451, "4.3.0", "later")
			}
			return mail.R(250, "2.0.0", "ok")
		}
		w.start()
		w.send(fresh("x@remote.test", "y@remote.test", "z@remote.test"))
		synctest.Wait()
		if !slices.Equal(told, []string{"alice@local.test 1 of 3"}) {
			t.Errorf("told %q", told)
		}
		w.stop()
	})
}
