package site

import (
	"sallyport/internal/dnsx"
	"sallyport/internal/node"
	"slices"
	"testing"
	"time"
)

// A report to a domain of ours goes to the server behind us that knows the recipient: it
// is asked, and given the address as the domain owner wrote it.
func TestAReportReachesTheServerBehind(t *testing.T) {
	s := New(t, nil, "[authentication]\ncheck = \"on\"", "[dmarc_report]\naccount = \"alice@local.test\"",
		"[domain.\"behind.test\"]\ndeliver = \"smtp://192.0.2.9\"\nrecipients = \"callout\"\ntls = \"none\"")
	o := s.Options()
	clock := newDays()
	o.Now = clock.now
	o.Resolver = &dnsx.Fake{Texts: map[string][]string{
		"_dmarc.far.test": {"v=DMARC1; p=none; rua=mailto:Box+dmarc@behind.test"}, "far.test._report._dmarc.behind.test": {"v=DMARC1"},
	}}
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	addAccount(t, n, "box@behind.test")
	r := s.Serve(n)
	bring(t, r, "a@far.test", "<a@far.test>")
	r.Idle()
	clock.begin(s, r, o, 24*time.Hour)
	Eventually(t, "the report", func() bool { return s.Sink.Messages() > 0 })
	kept := s.Sink.Kept()
	if len(kept) != 1 || !slices.Equal(kept[0].To, []string{"Box+dmarc@behind.test"}) {
		t.Errorf("arrived %+v", kept)
	}
}
