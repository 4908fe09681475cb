package dmarc

import (
	"encoding/json"
	"reflect"
	"testing"

	"sallyport/internal/reports/format"
)

// Known answers: what an older release counted yesterday is reported by this one today.
func TestKnownTally(t *testing.T) {
	row := format.Record{
		Row: format.Row{Source: "192.0.2.1", Count: 7, Evaluated: format.Evaluated{
			Disposition: "none", DKIM: "pass", SPF: "fail", Reasons: []format.Reason{{Type: "other", Comment: "c"}},
		}},
		Identifiers: format.Identifiers{HeaderFrom: "a.test", EnvelopeFrom: "b.test"},
		Results: format.Results{
			DKIM: []format.DKIM{{Domain: "a.test", Selector: "s", Result: "pass", Human: "h"}}, SPF: []format.SPF{{Domain: "b.test", Scope: "mfrom", Result: "fail", Human: "i"}},
		},
	}
	c := tally{
		Policy: format.Policy{Domain: "a.test", Discovery: "treewalk", P: "reject", SP: "none", NP: "quarantine", FO: "1", ADKIM: "s", ASPF: "r", Testing: "n"},
		Rows:   []format.Record{row}, Lost: 3,
	}
	const stored = `{"policy":{"domain":"a.test","discovery":"treewalk","p":"reject","sp":"none","np":"quarantine","fo":"1","adkim":"s","aspf":"r","testing":"n"},"rows":[{"row":{"ip":"192.0.2.1","n":7,"eval":{"did":"none","dkim":"pass","spf":"fail","why":[{"type":"other","comment":"c"}]}},"id":{"from":"a.test","env":"b.test"},"auth":{"dkim":[{"d":"a.test","s":"s","is":"pass","why":"h"}],"spf":[{"d":"b.test","scope":"mfrom","is":"fail","why":"i"}]}}],"lost":3}`
	if got, err := json.Marshal(c); err != nil || string(got) != stored {
		t.Errorf("stored as\n%s, %v", got, err)
	}
	var back tally
	if err := json.Unmarshal([]byte(stored), &back); err != nil || !reflect.DeepEqual(back, c) {
		t.Errorf("read as %+v, %v", back, err)
	}
	if keyPrefix != "y/d/" || sentPrefix != "y/e/" {
		t.Error("the keys are others")
	}
}
