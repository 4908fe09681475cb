package relayaudit

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Row is the verdict on one run.
type Row struct {
	ID      string     `json:"id"`
	State   string     `json:"state"`
	Mode    string     `json:"mode"`
	Peer    string     `json:"peer"` // local address the probe came from
	Faults  []string   `json:"faults"`
	Replies []Exchange `json:"replies"`
	Source  string     `json:"source"`
	script  string
	wanted  string
}

// Report gathers the verdicts of many runs. The zero Report is empty.
type Report struct {
	Runs   int   `json:"runs"`
	Cases  int   `json:"cases"`
	Failed []Row `json:"failed"` // runs with a fault
}

// Add judges a run together with what was found of it.
func (rep *Report) Add(r Result, found []Stored) {
	rep.Runs++
	faults := Judge(r, found)
	if len(faults) > 0 {
		rep.Failed = append(rep.Failed, rowOf(r, faults))
	}
}

func rowOf(r Result, faults []string) Row {
	peer := ""
	if r.Mode.Source.IsValid() {
		peer = r.Mode.Source.String()
	}
	return Row{
		ID: r.Case.ID, State: r.Case.State.String(), Mode: r.Mode.String(), Peer: peer,
		Faults: faults, Replies: r.Replies, Source: r.Case.Source,
		script: r.Case.Script, wanted: r.Case.Expected,
	}
}

// Compare adds a fault for every row whose decisions differ from mode to mode. A
// reply that was lost with a closing connection differs from none.
func (rep *Report) Compare(results []Result) {
	byCase := map[string][]Result{}
	for _, r := range results {
		if r.Err == nil {
			byCase[r.Case.ID] = append(byCase[r.Case.ID], r)
		}
	}
	rep.Cases = len(byCase)
	for _, rs := range byCase {
		for _, r := range rs[1:] {
			if !agree(rs[0].Replies, r.Replies) {
				rep.Failed = append(rep.Failed, rowOf(r, []string{fmt.Sprintf(
					"decides otherwise than %s: %q, there %q", rs[0].Mode, r.Signature(), rs[0].Signature())}))
			}
		}
	}
}

// agree reports whether two runs of one script got the same classes of replies,
// as far as both got replies. 421 is no decision on a command: it ends a session
// whose limit was reached, which takes fewer commands where TLS took some.
func agree(a, b []Exchange) bool {
	for i := range min(len(a), len(b)) {
		x, y := a[i].Reply, b[i].Reply
		if x.Code == 421 || y.Code == 421 {
			return true
		}
		if x.Code != 0 && y.Code != 0 && x.Class() != y.Class() {
			return false
		}
	}
	return true
}

// OK reports whether nothing is wrong.
func (rep *Report) OK() bool { return len(rep.Failed) == 0 }

// WriteText writes the failed runs as a table for people, with what was said.
func (rep *Report) WriteText(w io.Writer) error {
	slices.SortFunc(rep.Failed, func(a, b Row) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Mode, b.Mode))
	})
	if rep.OK() {
		_, err := fmt.Fprintf(w, "%d rows, %d runs: nothing found\n", rep.Cases, rep.Runs)
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "ROW\tSTATE\tMODE\tFAULT")
	for _, row := range rep.Failed {
		for _, f := range row.Faults {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", row.ID, row.State, row.Mode, f)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return rep.writeTranscripts(w)
}

// writeTranscripts writes the conversation of the first failing run of each row.
func (rep *Report) writeTranscripts(w io.Writer) error {
	shown := map[string]bool{}
	for _, row := range rep.Failed {
		if shown[row.ID] {
			continue
		}
		shown[row.ID] = true
		fmt.Fprintf(w, "\n%s (%s, %s)  %s\n  wanted: %s\n", row.ID, row.State, row.Mode, row.script, row.wanted)
		for _, x := range row.Replies {
			if x.Sent != "" {
				fmt.Fprintf(w, "  C: %s\n", x.Sent)
			}
			fmt.Fprintf(w, "  S: %s\n", x.words())
		}
	}
	_, err := fmt.Fprintf(w, "\n%d rows, %d runs: %d failed\n", rep.Cases, rep.Runs, len(rep.Failed))
	return err
}
