package queue_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/test/operator"
)

// A user sees the mail of his own account; root and the owner see all, and nobody else
// runs the queue.
func TestOwnQueue(t *testing.T) {
	w := operator.New(t)
	own, other := w.Put(t, "alice@local.test"), w.Put(t, "carol@local.test")
	refused := map[string]int{}
	q := operate.OwnQueue{Operator: w.Operator, Owner: 1000, Refused: func(uid uint32, rule string) { refused[fmt.Sprint(rule, " ", uid)]++ }, Account: func(uid uint32) (mail.Address, string) {
		if uid != 999 {
			return mail.Address{}, "nobody's"
		}
		a, err := mail.ParseAddress("alice@local.test", mail.ASCII)
		operator.Check(t, err)
		return a, ""
	}}
	for uid, want := range map[uint32]int{0: 2, 1000: 2, 999: 1} {
		var out bytes.Buffer
		if err := q.List(t.Context(), uid, &out); err != nil || strings.Count(out.String(), "\n") != want || !strings.Contains(out.String(), own.String()) || strings.Contains(out.String(), other.String()) != (want == 2) {
			t.Errorf("%d sees %s, %v", uid, &out, err)
		}
	}
	var out bytes.Buffer
	if err := q.List(t.Context(), 1001, &out); err == nil || err.Error() != "nobody's" || out.Len() != 0 {
		t.Errorf("a user without an account sees %s, %v", &out, err)
	}
	for uid, may := range map[uint32]bool{0: true, 1000: true, 999: false, 1001: false} {
		var out bytes.Buffer
		if err := q.Retry(t.Context(), uid, &out); (err == nil) != may || (out.Len() > 0) != may {
			t.Errorf("%d ran the queue: %s, %v", uid, &out, err)
		}
	} // Who gets no answer stands in the trace.
	if fmt.Sprint(refused) != "map[no-queue-of-his 1001:1 not-operator 1001:1 not-operator 999:1]" {
		t.Errorf("refused: %v", refused)
	}
}
