package nexthop

import (
	"testing"

	"sallyport/internal/mail"
)

func TestAllAnswersForEveryRecipientInOrder(t *testing.T) {
	var j Job
	for _, s := range []string{"b@x.test", "a@x.test", "b@x.test"} {
		a, err := mail.ParseAddress(s, mail.ASCII)
		if err != nil {
			t.Fatal(err)
		}
		j.Recipients = append(j.Recipients, Recipient{Recipient: mail.Recipient{Address: a}})
	}
	out := j.All(mail.R(451, "4.3.0", "later"), "here")
	if len(out) != 3 {
		t.Fatalf("%d outcomes for 3 recipients", len(out))
	}
	for i, o := range out {
		if o.Recipient != j.Recipients[i].Address || !o.Deferred() || o.Remote != "here" {
			t.Errorf("outcome %d is %+v", i, o)
		}
	}
	if out := (Job{}).All(mail.R(250, "", "ok"), "here"); len(out) != 0 {
		t.Errorf("%d outcomes for nobody", len(out))
	}
}
