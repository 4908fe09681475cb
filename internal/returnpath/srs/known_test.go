package srs

import "testing"

// Known answers: a path or mark that an older release wrote comes back to this one, for
// as long as it is fresh. The key is 32 octets of 0x01.
func TestKnownPaths(t *testing.T) {
	k := key(t, 1)
	for account, want := range map[string]string{
		"alice@local.test":  "SRS0=cxobccfryxwuqc7y=iw=sealed=ldpalomzggmclao2@local.test",
		"Älice@bücher.test": "SRS0=jwdeeg5mhhuievw2=iw=sealed=e66ms3l3ltf3pxvy@xn--bcher-kva.test",
	} {
		if got := path(t, k, account, noon); got.String() != want {
			t.Errorf("%s has the path %s, want %s", account, got, want)
		}
		if ref, err := k.Open(address(t, want), week, noon); err != nil || ref != k.Ref(address(t, account)) {
			t.Errorf("%s opens as %v, %v", want, ref, err)
		}
	}
	for m, want := range map[Mark]string{MarkSent: "sent=iw=ckukj6gubfs7qao3", MarkKept: "kept=iw=y5ep2nj32hetfda2"} {
		if got := k.Mark(m, address(t, "alice@local.test"), "<1@remote.test>", noon); got != want {
			t.Errorf("the mark %v is %s, want %s", m, got, want)
		}
		if got := k.ReadMark(want, address(t, "alice@local.test"), "<1@remote.test>", week, noon); got != m {
			t.Errorf("%s reads as %v", want, got)
		}
	}
}
