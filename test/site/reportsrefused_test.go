package site

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/node"
	"sallyport/internal/operate"
)

// Whoever publishes addresses for reports that do not exist has nobody contained by it: the
// server wrote the reports, also after a restart with some in the queue. They are counted and
// shown. The same refusals of what the account itself sends contain it.
func TestRefusedReportsAreNoEvidence(t *testing.T) {
	text := Text + "[hijack]\nmode = \"enforce\"\n[authentication]\ncheck = \"on\"\n[dmarc_report]\naccount = \"news@local.test\"\ndaily = "
	s := New(t, nil)
	s.Configure(text + "4")
	o := s.Options()
	clock := newDays()
	o.Now = clock.now
	const domains = 24
	dns := &dnsx.Fake{Texts: map[string][]string{}}
	for i := range domains {
		dns.Texts[fmt.Sprintf("_dmarc.far%d.test", i)] = []string{fmt.Sprintf("v=DMARC1; p=none; rua=mailto:dead-reports%d@remote.test", i)}
		dns.Texts[fmt.Sprintf("far%d.test._report._dmarc.remote.test", i)] = []string{"v=DMARC1"}
	}
	o.Resolver = dns
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	_, err = n.Operator().AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: "news@local.test", Password: Password, Role: "bulk"})
	Must(t, err)
	r := s.Serve(n)
	for i := range domains {
		bring(t, r, fmt.Sprintf("a@far%d.test", i), fmt.Sprintf("<a@far%d.test>", i))
	}
	r.Idle()
	o.Paused = true
	r = clock.begin(s, r, o, 24*time.Hour)
	Eventually(t, "a day's reports in the queue", func() bool { return r.Queue().Messages == 4 })
	s.Configure(text + "100")
	o.Paused = false
	r = clock.begin(s, r, o, 24*time.Hour)
	show := func() operate.Account {
		t.Helper()
		a, err := r.Operator().AccountShow(t.Context(), operate.Self(), operate.AccountRef{Address: "news@local.test"})
		Must(t, err)
		return a
	}
	Eventually(t, "all reports to be refused", func() bool { return show().Story.Reports == domains })
	r.Idle()
	if a := show(); a.Standing != "active" || len(a.Incidents) > 0 || a.Story.Reports != domains {
		t.Errorf("after 24 refused reports the account is %s, %d are shown, incidents %+v", a.Standing, a.Story.Reports, a.Incidents)
	}
	c := s.SignIn(r, true, "news@local.test")
	for i := 0; i < 20 && show().Standing == "active"; i++ {
		c.Send("news@local.test", Message(fmt.Sprint("m", i), "news@local.test", 300), fmt.Sprintf("dead-friend%d@remote.test", i))
		r.Idle()
	}
	a := show()
	if a.Standing == "active" || len(a.Incidents) != 1 || !strings.Contains(strings.Join(a.Incidents[0].Evidence, " "), "refused") {
		t.Errorf("what the account sends is refused, and it is %s: %+v", a.Standing, a.Incidents)
	}
}
