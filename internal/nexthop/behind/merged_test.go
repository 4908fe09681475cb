package behind

import (
	"testing"

	"sallyport/internal/mail"
)

// Two aliases of one mailbox behind us are one recipient there, and one outcome each.
func TestAnAddressIsGivenOnce(t *testing.T) {
	box, o := serve(t, true, "unix")
	d := target(t, o)
	out := d.Deliver(t.Context(), job(t, "known-a@inner.test", "nobody@inner.test", "known-a@inner.test", "known-a+x@inner.test", "nobody@inner.test"))
	if got := codes(out); got != "alias0@ours.test 250, alias1@ours.test 550, alias2@ours.test 250, alias3@ours.test 250, alias4@ours.test 550" {
		t.Error(got)
	}
	box.mu.Lock()
	defer box.mu.Unlock()
	if len(box.took) != 2 {
		t.Errorf("arrived: %q", box.took)
	}
}

func TestWhatTwoRecipientsAskToBeTold(t *testing.T) {
	const never, success, failure, delay = mail.NotifyNever, mail.NotifySuccess, mail.NotifyFailure, mail.NotifyDelay
	for _, c := range [][3]mail.Notify{
		{0, 0, 0}, {never, never, never}, {never, 0, failure}, {0, success, success | failure}, {never, delay, delay}, {success, failure, success | failure},
	} {
		if got, back := together(c[0], c[1]), together(c[1], c[0]); got != c[2] || back != c[2] {
			t.Errorf("%v with %v: %v and %v, want %v", c[0], c[1], got, back, c[2])
		}
	}
}
