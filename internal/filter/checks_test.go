package filter_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/filter"
	"sallyport/internal/intake"
	"sallyport/internal/message"
)

// The same inspectors ask whom the checks in force name: nobody, then an Rspamd, then
// milters in their order.
func TestInspectorsOfTheChecksInForce(t *testing.T) {
	asked := 0
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"action":"reject","score":20,"required_score":15}`)
	}))
	defer web.Close()
	var force *filter.Checks
	all := filter.Inspectors(2, func() *filter.Checks { return force })
	names := func() (names []string) {
		for _, i := range all {
			names = append(names, i.Name())
		}
		return names
	}
	if len(all) != 3 || begin(t, all[0], "Subject: x\r\n\r\n") != nil || force.Reserved() != nil {
		t.Errorf("%d inspectors of nothing, reserved %q", len(all), force.Reserved())
	}
	force.Retire() // of nothing
	options := filter.ChecksOptions{
		Rspamd: &filter.RspamdOptions{
			Network: "http", Address: strings.TrimPrefix(web.URL, "http://"), Time: 10 * time.Second,
			Connections: 4, Scope: filter.Scope{MaxSize: 1 << 20}, Spam: filter.SpamJunk,
		},
		Header: message.DefaultLimits(), Logger: slog.New(slog.DiscardHandler),
	}
	force = filter.NewChecks(options)
	if f := judge(t, all[0], "Subject: x\r\n\r\nhello\r\n"); f.Action != intake.Refuse || asked != 1 {
		t.Errorf("%+v, asked %d times", f, asked)
	}
	if begin(t, all[1], "Subject: x\r\n\r\n") != nil || !slices.Equal(force.Reserved(), filter.SpamFields()) {
		t.Errorf("a milter that is not there, or reserved %q", force.Reserved())
	}
	force.Retire()
	options.Rspamd = nil
	for _, name := range []string{"one", "two"} {
		options.Milters = append(options.Milters, filter.MilterOptions{Name: name, Network: "unix", Address: "/nowhere", Time: time.Second, Connections: 1})
	}
	force = filter.NewChecks(options)
	if got := names(); len(got) != 3 || !strings.Contains(got[1], "one") || !strings.Contains(got[2], "two") || got[0] != "rspamd" {
		t.Errorf("%q", got)
	}
	if force.Reserved() != nil || len(force.Options().Milters) != 2 {
		t.Errorf("reserved %q without an Rspamd", force.Reserved())
	}
}
