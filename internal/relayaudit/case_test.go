package relayaudit

import "testing"

func TestTheTableParses(t *testing.T) {
	cases, err := Cases()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rows", len(cases))
}
