package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"sallyport/internal/relayaudit"
	"sallyport/test/load/rig"
)

// entry is what a trace entry says of a refusal.
type entry struct {
	Fact struct {
		Kind  string `json:"kind"`
		Rule  string `json:"rule"`
		Code  int    `json:"code"`
		Count int    `json:"count"` // of strangers' facts: how many it sums up
		// Where the address stands: parsed, or in the text of a command that was
		// refused for its grammar.
		Recipient string `json:"rcpt"`
		Sender    string `json:"sender"`
		Text      string `json:"text"`
	} `json:"fact"`
}

// TestRefusalsAreInTheTrace runs the address rows, each from a network of its own,
// and asks the trace for that client: every refusal that it was given is there once,
// with the rule that gave it, and nothing in the answer can speak to a terminal.
func TestRefusalsAreInTheTrace(t *testing.T) {
	t.Parallel()
	cases, err := relayaudit.Cases()
	if err != nil {
		t.Fatal(err)
	}
	v4 := target(t, 0)
	refused := map[netip.Addr]relayaudit.Result{}
	for i, c := range addressRows(cases) {
		peer := netip.AddrFrom4([4]byte{127, 240 + byte(i/250), byte(i % 250), 9})
		r := relayaudit.Probe(context.Background(), v4, c, relayaudit.Mode{Source: peer})
		if faults := relayaudit.Judge(r, nil); len(faults) > 0 {
			t.Errorf("%s: %q", c.ID, faults)
		}
		refused[peer] = r
	}
	for peer, r := range refused {
		t.Run(r.Case.ID, func(t *testing.T) { inTrace(t, peer, r) })
	}
}

// addressRows returns the rows in which strangers name addresses and are refused.
func addressRows(cases []relayaudit.Case) []relayaudit.Case {
	var rows []relayaudit.Case
	for _, c := range cases {
		delivers := c.Expect.Messages.Max > 0
		if c.State == relayaudit.StateMX && strings.ContainsAny(c.ID[:1], "ABC") && !delivers {
			rows = append(rows, c)
		}
	}
	return rows
}

// inTrace waits until the trace of peer tells of every refusal of the run.
func inTrace(t *testing.T, peer netip.Addr, r relayaudit.Result) {
	t.Helper()
	deadline := time.Now().Add(drainTime)
	var out, fault string
	for time.Now().Before(deadline) {
		var err error
		// An empty answer is an error of the command: nothing is written yet.
		if out, err = the.server.CLI(context.Background(), "", "trace", peer.String(), "--json"); err == nil {
			if fault = lacking(t, out, r); fault == "" {
				return
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Errorf("the trace of %s: %s\n%s", peer, fault, out)
}

// lacking names what a trace does not tell of a run, or tells wrongly, or returns
// "". Like refusals of one client are summed up in one fact, which tells the first.
func lacking(t *testing.T, out string, r relayaudit.Result) string {
	t.Helper()
	for _, c := range out {
		if !unicode.IsPrint(c) && c != '\n' {
			t.Fatalf("the trace prints %q", c)
		}
	}
	values, err := rig.Values(out)
	if err != nil {
		t.Fatal(err)
	}
	var told []entry
	count := 0
	for _, v := range values {
		var e entry
		if err := json.Unmarshal(v, &e); err != nil {
			t.Fatal(err)
		}
		if e.Fact.Kind == "refuse" {
			told = append(told, e)
			count += max(1, e.Fact.Count)
		}
	}
	given := refusals(r)
	if count != len(given) {
		return fmt.Sprintf("%d refusals are told, %d were given", count, len(given))
	}
	if !slices.ContainsFunc(told, func(e entry) bool { return e.tells(given[0]) }) {
		return fmt.Sprintf("no refusal %s of %s", given[0].Reply, given[0].Sent)
	}
	return ""
}

// refusals returns what was refused in a run; the rows of this test have at least
// one refusal each.
func refusals(r relayaudit.Result) []relayaudit.Exchange {
	var given []relayaudit.Exchange
	for _, x := range r.Replies {
		if x.Reply.Code >= 400 {
			given = append(given, x)
		}
	}
	return given
}

// tells reports whether an entry has the rule, the reply and the address of x.
func (e entry) tells(x relayaudit.Exchange) bool {
	if e.Fact.Rule == "" || e.Fact.Code != x.Reply.Code {
		return false
	}
	_, path, _ := strings.Cut(x.Sent, "<")
	address := strings.TrimSuffix(strings.TrimSuffix(path, `\r\n`), ">")
	plain := !strings.ContainsAny(address, `"\<> `)
	// The trace writes an address as it was read: dots in odd places are quoted, and the
	// dot of the root is none of it.
	told := strings.ReplaceAll(e.Fact.Recipient+e.Fact.Sender+e.Fact.Text, `"`, "")
	return !plain || strings.Contains(strings.ToLower(told), strings.ToLower(strings.TrimSuffix(address, ".")))
}
