package tls

import (
	"encoding/json"
	"reflect"
	"testing"

	"sallyport/internal/tlspolicy"
)

// Known answers: what an older release counted yesterday is reported by this one today.
func TestKnownTally(t *testing.T) {
	c := tally{Policies: []policyTally{{
		Kind: tlspolicy.KindSTS, Policy: []string{"version: STSv1"}, Hosts: []string{"mx.remote.test"}, Success: 1, Failure: 2,
		Details: []detail{{Result: "certificate-expired", Sender: "192.0.2.1", Host: "mx.remote.test", Address: "192.0.2.2", Count: 2, Reason: "r"}},
	}}, Lost: 3}
	const stored = `{"policies":[{"kind":"sts","policy":["version: STSv1"],"hosts":["mx.remote.test"],"success":1,"failure":2,"details":[{"result-type":"certificate-expired","sending-mta-ip":"192.0.2.1","receiving-mx-hostname":"mx.remote.test","receiving-ip":"192.0.2.2","failed-session-count":2,"failure-reason-code":"r"}]}],"lost":3}`
	if got, err := json.Marshal(c); err != nil || string(got) != stored {
		t.Errorf("stored as\n%s, %v", got, err)
	}
	var back tally
	if err := json.Unmarshal([]byte(stored), &back); err != nil || !reflect.DeepEqual(back, c) {
		t.Errorf("read as %+v, %v", back, err)
	}
	if keyPrefix != "y/r/" || sentPrefix != "y/s/" {
		t.Error("the keys are others")
	}
}
