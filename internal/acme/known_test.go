package acme

import (
	"encoding/json"
	"testing"
)

// Known answers: a certificate that an older release obtained is served by this one.
func TestKnownRecord(t *testing.T) {
	r := record{Version: 1, Directory: "https://ca.test/", Chain: "c\n", Key: "k\n"}
	const stored = `{"version":1,"directory":"https://ca.test/","chain":"c\n","key":"k\n"}`
	if got, err := json.Marshal(r); err != nil || string(got) != stored {
		t.Errorf("stored as %s, %v", got, err)
	}
	var back record
	if err := json.Unmarshal([]byte(stored), &back); err != nil || back != r {
		t.Errorf("read as %+v, %v", back, err)
	}
	if got := string(storeKey(currentKey)); got != "acme/certificate" {
		t.Errorf("it lies under %s", got)
	}
}
