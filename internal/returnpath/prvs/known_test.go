package prvs

import "testing"

// Known answers: what an older release signed opens here, for as long as it is good.
// The key is 32 octets of 0x01.
func TestKnownSignatures(t *testing.T) {
	k := key(t, 1)
	end := noon.Add(14 * day)
	for plain, want := range map[string]string{
		"alice@local.test":        "prvs=07721f6d0f=alice@local.test",
		"Alice+lists@bücher.test": "prvs=0772d23518=Alice+lists@xn--bcher-kva.test",
		`"a b"@local.test`:        `"prvs=0772b284de=a b"@local.test`,
	} {
		if got := sign(t, k, plain, end); got.String() != want {
			t.Errorf("%s is signed as %s, want %s", plain, got, want)
		}
		if got, _, err := k.Open(address(t, want), noon); err != nil || got != address(t, plain) {
			t.Errorf("%s opens as %s, %v", want, got, err)
		}
	}
}
