package ledger

import (
	"encoding/hex"
	"testing"
	"time"

	"sallyport/internal/budget"
	"sallyport/internal/mail"
)

// Known answers: what an older release counted is found under the same keys.
func TestKnownLines(t *testing.T) {
	address := func(s string) mail.Address {
		a, err := mail.ParseAddress(s, mail.UTF8)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for want, l := range map[string]Line{
		"budget/account/alice@local.test":               Account(address("Alice@local.test")),
		"budget/forward/alice@local.test x@remote.test": Forward(address("alice@local.test"), address("X@remote.test")),
	} {
		k := l.place(258)
		if got := hex.EncodeToString(k); got != hex.EncodeToString([]byte(want))+"000102" {
			t.Errorf("%q, want %q", k, want)
		}
		if back, ok := lineOf(k); !ok || back != l {
			t.Errorf("%q reads as %v", k, back)
		}
	}
	c := budget.Count{}.Add(time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), 7)
	if got := hex.EncodeToString(encode(513, c)); got != "0000000000000201"+hex.EncodeToString(c.Encode()) {
		t.Errorf("a count is stored as %s", got)
	}
	if n, back, err := decode(encode(513, c)); n != 513 || back != c || err != nil {
		t.Errorf("it reads as %d, %+v, %v", n, back, err)
	}
}
