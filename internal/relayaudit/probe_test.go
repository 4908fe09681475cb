package relayaudit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func parse(t *testing.T, rows ...string) []Case {
	t.Helper()
	cases, err := ParseCases(strings.NewReader(strings.Join(rows, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// verdicts runs every row in every mode and returns the faults.
func verdicts(t *testing.T, s *laxServer, rows ...string) []string {
	t.Helper()
	target := s.start(t)
	var faults []string
	for _, c := range parse(t, rows...) {
		for _, m := range Modes(c) {
			r := Probe(context.Background(), target, c, m)
			for _, f := range Judge(r, s.found(r.Marker)) {
				faults = append(faults, fmt.Sprintf("%s %s: %s", c.ID, m, f))
			}
		}
	}
	return faults
}

const (
	rowRelay   = `R1 | S25 | F:<x@{RD}> ⏎ T:<victim@{RD}> ⏎ {MSG} | rcpt=550 end=skip | test`
	rowDeliver = `R2 | S25 | F:<x@{RD}> ⏎ T:<bob@{LD}> ⏎ {MSG} | rcpt=250 end=250 msgs=1 at=bob | test`
	rowSmuggle = `R3 | S25 | {TX} ⏎ {LOAD}{HDR}first\n.\n{SMUG} | end=2/5/close msgs=0..1 mayclose | test`
	rowTLS     = `R4 | S25 clear lockstep | STARTTLS\r\nRSET ⏎ {TLS} | starttls=220 mayclose | test`
	rowReset   = `R5 | S25 | {TX} ⏎ RSET ⏎ DATA | rset=250 data=503 | test`
	rowUnknown = `R6 | S25 | F:<x@{RD}> ⏎ T:<nobody@{LD}> | rcpt=5.7.1 | test`
)

func TestAClosedServerPasses(t *testing.T) {
	faults := verdicts(t, &laxServer{}, rowRelay, rowDeliver, rowSmuggle, rowTLS, rowReset, rowUnknown)
	if len(faults) > 0 {
		t.Errorf("found: %s", strings.Join(faults, "\n"))
	}
}

// Every fault of a server is found by the row that is made for it, in every mode.
func TestEachFaultIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		server *laxServer
		row    string
		word   string // stands in the fault
	}{
		"open relay":         {&laxServer{openRelay: true}, rowRelay, "wanted 550, got 250"},
		"relayed message":    {&laxServer{openRelay: true}, rowRelay, "at the foreign domain, found 1"},
		"smuggled message":   {&laxServer{bareLF: true}, rowSmuggle, "a command was read out of a message"},
		"two messages":       {&laxServer{bareLF: true}, rowSmuggle, "found 2"},
		"surplus reply":      {&laxServer{doubleReply: true}, rowRelay, "got 3 replies"},
		"missing reply":      {&laxServer{silent: true}, rowReset, "rset: timeout"},
		"injected under TLS": {&laxServer{keepsBuffer: true}, rowTLS, "got 3 replies"},
		"lost message":       {&laxServer{losesMail: true}, rowDeliver, "answered 2xx and is nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faults := verdicts(t, c.server, c.row)
			if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, c.word) }) {
				t.Errorf("not found: %q; found: %q", c.word, faults)
			}
		})
	}
}

func TestAServerThatNeverGreetsIsNotPassed(t *testing.T) {
	s := &laxServer{mute: true}
	target := s.start(t)
	target.Limits.Reply = 1e8 // 100 ms
	r := Probe(context.Background(), target, parse(t, rowRelay)[0], Mode{})
	if faults := Judge(r, nil); len(faults) != 1 || !strings.Contains(faults[0], "not run") {
		t.Errorf("%q", faults)
	}
}

func TestADoorThatIsMissingIsNotPassed(t *testing.T) {
	s := &laxServer{}
	target := s.start(t)
	c := parse(t, `R1 | S465 | NOOP | noop=250 | test`)[0]
	if r := Probe(context.Background(), target, c, Mode{}); len(Judge(r, nil)) == 0 {
		t.Error("a row without its door passed")
	}
}

func TestRowsShareASession(t *testing.T) {
	s := &laxServer{}
	target := s.start(t)
	cases := parse(t, rowRelay, rowDeliver, rowReset, rowUnknown)
	for range 3 {
		for _, r := range ProbeSession(context.Background(), target, cases, Mode{Split: Pipelined}) {
			if faults := Judge(r, s.found(r.Marker)); len(faults) > 0 {
				t.Errorf("%s: %q", r.Case.ID, faults)
			}
		}
		slices.Reverse(cases)
	}
}

func TestASharedSessionFindsASurplusReply(t *testing.T) {
	s := &laxServer{doubleReply: true}
	target := s.start(t)
	var rep Report
	for _, r := range ProbeSession(context.Background(), target, parse(t, rowRelay, rowReset), Mode{}) {
		rep.Add(r, nil)
	}
	if rep.OK() {
		t.Error("two replies to NOOP passed")
	}
}

func TestModesThatDisagreeAreReported(t *testing.T) {
	c := parse(t, rowUnknown)[0]
	run := func(m Mode, code int) Result {
		x := Exchange{Name: "rcpt", Outcome: fmt.Sprint(code)}
		x.Reply.Code = code
		return Result{Case: c, Mode: m, Replies: []Exchange{x}}
	}
	var rep Report
	rep.Compare([]Result{run(Mode{}, 550), run(Mode{Split: Bytes}, 553)})
	if !rep.OK() {
		t.Errorf("two refusals disagree: %v", rep.Failed)
	}
	rep.Compare([]Result{run(Mode{}, 550), run(Mode{Split: Bytes}, 250)})
	if rep.OK() {
		t.Error("a refusal and an acceptance agree")
	}
	var b strings.Builder
	if err := rep.WriteText(&b); err != nil || !strings.Contains(b.String(), "R6") || !strings.Contains(b.String(), "decides otherwise") {
		t.Errorf("%v %s", err, b.String())
	}
}
