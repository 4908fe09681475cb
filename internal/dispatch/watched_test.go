package dispatch_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/dispatch"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// Whoever watches accounts is told once of each of a message's recipients what others said of
// him for good: not of those who will be asked again, until they are.
func TestWhoWatchesIsToldOfAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var told []string
		w.answered = func(_ context.Context, a dispatch.Answers) {
			told = append(told, fmt.Sprint(a.Account, " refused ", a.Refused, ", taken ", a.Taken, " of ", a.All))
		}
		var later atomic.Bool
		later.Store(true)
		w.routes["remote.test"].fn = func(_ context.Context, _ nexthop.Job, to mail.Address) mail.Reply {
			switch to.Local() {
			case "x":
				return mail.R(550, "5.1.1", "no such user")
			case "y":
				if later.Load() {
					return mail.R(451, "4.3.0", "later")
				}
			}
			return mail.R(250, "2.0.0", "ok")
		}
		w.start()
		w.send(fresh("x@remote.test", "y@remote.test", "z@remote.test"))
		synctest.Wait()
		later.Store(false)
		time.Sleep(time.Hour)
		synctest.Wait()
		if !slices.Equal(told, []string{"alice@local.test refused [x@remote.test], taken 1 of 3", "alice@local.test refused [], taken 1 of 3"}) {
			t.Errorf("told %q", told)
		}
		w.stop()
	})
}
