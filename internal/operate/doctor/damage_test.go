package doctor

import (
	"strings"
	"testing"
)

// Each damage is wrong until it is acknowledged, says what is lost, and how it is acknowledged.
func TestDamageIsWrong(t *testing.T) {
	all := checkDamage(Facts{Damage: []DamageFacts{{Number: 3, File: "f", What: "a bit flipped"}, {Number: 4, File: "g", What: "gone", Lost: "facts 1 to 2", Aside: "/aside/g"}}})
	if len(all) != 2 || all[0].State != Wrong || all[1].State != Wrong {
		t.Fatalf("%+v", all)
	}
	for i, want := range [][2]string{{"nothing is lost", "sallyport damage acknowledge 3"}, {"lost: facts 1 to 2", "/aside/g"}} {
		if !strings.Contains(all[i].What, want[0]) || !strings.Contains(all[i].Remedy, want[1]) {
			t.Errorf("%+v", all[i])
		}
	}
	if len(checkDamage(Facts{})) != 0 {
		t.Error("nothing is told of as damage")
	}
}
