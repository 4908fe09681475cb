package srs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
)

const week = 7 * 24 * time.Hour

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func key(t testing.TB, octet byte) Key {
	t.Helper()
	k, err := NewKey(bytes.Repeat([]byte{octet}, KeyOctets))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

func path(t testing.TB, k Key, account string, at time.Time) mail.Address {
	t.Helper()
	p, err := k.Path(address(t, account), at)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPath(t *testing.T) {
	k := key(t, 1)
	long := address(t, "a@"+strings.Repeat("long-label-of-a-domain.", 9)+"test")
	if p, err := k.Path(long, noon); err == nil {
		t.Errorf("no path has room for %s", p)
	}
	for _, account := range []string{"alice@local.test", "älice@bücher.test", strings.Repeat("a", 64) + "@local.test", `"a b"@local.test`,
		"a@" + strings.Repeat("long-label-of-a-domain.", 8) + "test"} {
		a := address(t, account)
		p := path(t, k, account, noon)
		if p.Domain() != a.Domain() || len(p.Local()) > 64 || !Is(p) || len(a.Local()) > 1 && strings.Contains(p.Local(), a.Local()) {
			t.Errorf("%s has %s", account, p)
		}
		for name, form := range map[string]string{"as made": p.Local(), "lower": strings.ToLower(p.Local()), "upper": strings.ToUpper(p.Local())} {
			back, err := a.WithLocal(form)
			if err != nil {
				t.Fatal(err)
			}
			if ref, err := k.Open(back, week, noon); err != nil || ref != k.Ref(a) {
				t.Errorf("%s, %s: %x, %v", account, name, ref, err)
			}
		}
	}
	if p := path(t, k, "alice@local.test", noon); p != path(t, k, "ALICE@LOCAL.test", noon.Add(time.Hour)) || p == path(t, k, "bob@local.test", noon) {
		t.Errorf("%s is not the account's, and its alone, all day", p)
	}
}

func TestZero(t *testing.T) {
	var k Key
	alice := address(t, "alice@local.test")
	if _, err := k.Path(alice, noon); !errors.Is(err, ErrKey) {
		t.Errorf("a path without a key: %v", err)
	}
	if _, err := key(t, 1).Path(mail.Address{}, noon); !errors.Is(err, ErrForged) {
		t.Errorf("a path of nobody: %v", err)
	}
	if _, err := k.Open(path(t, key(t, 1), "alice@local.test", noon), week, noon); !errors.Is(err, ErrForged) {
		t.Errorf("opened without a key: %v", err)
	}
	if k.Ref(alice) != (Ref{}) || key(t, 1).Ref(mail.Address{}) != (Ref{}) || k.Mark(MarkSent, alice, "<1@x>", noon) != "" {
		t.Error("a zero key, or nobody, has a reference or a mark")
	}
	for _, secret := range [][]byte{nil, make([]byte, KeyOctets), bytes.Repeat([]byte{1}, 31), bytes.Repeat([]byte{1}, 33)} {
		if _, err := NewKey(secret); !errors.Is(err, ErrKey) {
			t.Errorf("a key of %d octets: %v", len(secret), err)
		}
	}
	secret := key(t, 0x41)
	for _, text := range []string{fmt.Sprint(secret), fmt.Sprintf("%v %+v %#v %s", secret, secret, secret, secret)} {
		if strings.Contains(text, "AAAA") || strings.Contains(text, "65, 65") || strings.Contains(text, "0x41") {
			t.Errorf("the key prints its secret: %s", text)
		}
	}
}

func TestAge(t *testing.T) {
	k := key(t, 1)
	for days := range int64(2048) {
		p := path(t, k, "alice@local.test", noon)
		at := noon.Add(time.Duration(days) * 24 * time.Hour)
		_, err := k.Open(p, week, at)
		if want := days%1024 <= 7; (err == nil) != want || !want && !errors.Is(err, ErrStale) {
			t.Fatalf("after %d days: %v", days, err)
		}
	}
	// A clock that was ahead leaves paths of days to come, which are stale.
	if _, err := k.Open(path(t, k, "alice@local.test", noon.Add(24*time.Hour)), week, noon); !errors.Is(err, ErrStale) {
		t.Errorf("a path of tomorrow: %v", err)
	}
	for _, at := range []time.Time{{}, time.Unix(-1, 0), time.Unix(0, 0), time.Unix(1<<40, 0)} {
		if _, err := k.Open(path(t, k, "alice@local.test", at), 0, at); err != nil {
			t.Errorf("at %v: %v", at, err)
		}
	}
}

func TestIs(t *testing.T) {
	for s, want := range map[string]bool{
		"SRS0=a=b=c=d@local.test": true, "srs1=a=b==c@local.test": true, "Srs0-x@local.test": true, "SRS0+x@local.test": true,
		"srs0@local.test": false, "srs@local.test": false, "srs2=x@local.test": false, "xsrs0=x@local.test": false, "srs0x=@local.test": false,
		"alice@local.test": false, `"srs0=x"@local.test`: true,
	} {
		if Is(address(t, s)) != want {
			t.Errorf("%s: %v", s, !want)
		}
	}
}

func drawAccount(t *rapid.T, label string) mail.Address {
	local := rapid.StringMatching(`[a-z0-9]{1,64}`).Draw(t, label)
	a, err := mail.ParseAddress(local+"@"+rapid.SampledFrom([]string{"local.test", "other.test", "bücher.test"}).Draw(t, label+" domain"), mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Whatever is changed in a return path makes it a forgery, and no two accounts share
// one. The change keeps the case of letters out: a relay may fold it.
func TestAPathCannotBeChanged(t *testing.T) {
	k, other := key(t, 1), key(t, 2)
	rapid.Check(t, func(t *rapid.T) {
		a := drawAccount(t, "account")
		p, err := k.Path(a, noon)
		if err != nil {
			t.Fatal(err)
		}
		if ref, err := k.Open(p, week, noon); err != nil || ref != k.Ref(a) {
			t.Fatalf("%s of %s: %x, %v", p, a, ref, err)
		}
		if _, err := other.Open(p, week, noon); !errors.Is(err, ErrForged) {
			t.Fatalf("another key opens %s: %v", p, err)
		}
		if b := drawAccount(t, "other"); b.Key() != a.Key() && k.Ref(b) == k.Ref(a) {
			t.Fatalf("%s and %s have one reference", a, b)
		}
		local := []byte(p.Local())
		at := rapid.IntRange(0, len(local)-1).Draw(t, "at")
		local[at] = rapid.SampledFrom([]byte(alphabet+"=-+.")).Draw(t, "octet")
		changed, err := p.WithLocal(string(local))
		if err != nil || strings.EqualFold(string(local), p.Local()) {
			return
		}
		if ref, err := k.Open(changed, 1023*24*time.Hour, noon); err == nil {
			t.Fatalf("%s opens as %x", changed, ref)
		}
		moved, err := mail.ParseAddress(p.Local()+"@elsewhere.test", mail.ASCII)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Open(moved, week, noon); !errors.Is(err, ErrForged) {
			t.Fatalf("%s opens at another domain", moved)
		}
	})
}

// A mark speaks of one account and one message, for a time, and says what was
// written.
func TestMark(t *testing.T) {
	k, other := key(t, 1), key(t, 2)
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawAccount(t, "account"), drawAccount(t, "other")
		id := "<" + rapid.StringMatching(`[a-z0-9.]{1,20}@[a-z]{1,10}`).Draw(t, "message-id") + ">"
		m := rapid.SampledFrom([]Mark{MarkSent, MarkKept}).Draw(t, "mark")
		age := time.Duration(rapid.IntRange(0, 1023).Draw(t, "days")) * 24 * time.Hour
		text := k.Mark(m, a, id, noon)
		want := MarkNone
		if age <= week {
			want = m
		}
		if got := k.ReadMark(text, a, id, week, noon.Add(age)); got != want {
			t.Fatalf("%q reads as %d after %v", text, got, age)
		}
		for name, got := range map[string]Mark{
			"another key": other.ReadMark(text, a, id, week, noon), "another message": k.ReadMark(text, a, id+"x", week, noon),
			"no message": k.ReadMark(text, a, "", week, noon), "nobody": k.ReadMark(text, mail.Address{}, id, week, noon),
			"another word": k.ReadMark(map[string]string{"sent": "kept", "kept": "sent"}[text[:4]]+text[4:], a, id, week, noon),
		} {
			if got != MarkNone {
				t.Fatalf("%s: %q reads as %d", name, text, got)
			}
		}
		if got := k.ReadMark(text, b, id, week, noon); got != MarkNone && a.Key() != b.Key() {
			t.Fatalf("the mark of %s is one of %s", a, b)
		}
	})
	if k.Mark(MarkNone, address(t, "a@local.test"), "<1@x>", noon) != "" || k.Mark(3, address(t, "a@local.test"), "<1@x>", noon) != "" {
		t.Error("a mark that says nothing is written")
	}
}

// FuzzOpen: nothing but what Path made opens, and nothing panics.
func FuzzOpen(f *testing.F) {
	k := key(f, 1)
	f.Add(path(f, k, "alice@local.test", noon).Local())
	f.Add(path(f, k, "bob@local.test", noon.Add(-30*24*time.Hour)).Local())
	for _, s := range []string{"", "SRS0=", "SRS0=====", "SRS1=hhhh=other.test==hhhh=aa=x.test=user", "SRS0=hhhh=aa=x.test=user", "srs0=aaaaaaaaaaaaaaaa=aa=sealed=aaaaaaaaaaaaaaaa"} {
		f.Add(s)
	}
	made := map[string]bool{}
	for _, account := range []string{"alice@local.test", "bob@local.test"} {
		for day := range 1024 {
			made[strings.ToLower(path(f, k, account, noon.Add(-time.Duration(day)*24*time.Hour)).Local())] = true
		}
	}
	f.Fuzz(func(t *testing.T, local string) {
		a, err := address(t, "x@local.test").WithLocal(local)
		if err != nil {
			return
		}
		ref, err := k.Open(a, week, noon)
		switch {
		case err == nil && (!made[strings.ToLower(a.Local())] || ref == (Ref{}) || !Is(a)):
			t.Fatalf("%q opens", local)
		case err != nil && !errors.Is(err, ErrForged) && !errors.Is(err, ErrStale):
			t.Fatalf("%q: %v", local, err)
		case errors.Is(err, ErrStale) && !made[strings.ToLower(a.Local())]:
			t.Fatalf("%q is not ours and stale", local)
		}
	})
}

// FuzzReadMark: nothing but what Mark wrote is read.
func FuzzReadMark(f *testing.F) {
	k := key(f, 1)
	alice := address(f, "alice@local.test")
	f.Add(k.Mark(MarkSent, alice, "<1@x>", noon))
	f.Add(k.Mark(MarkKept, alice, "<1@x>", noon.Add(-3*24*time.Hour)))
	f.Add("sent=aa=aaaaaaaaaaaaaaaa")
	f.Add("==")
	f.Fuzz(func(t *testing.T, text string) {
		m := k.ReadMark(text, alice, "<1@x>", week, noon)
		if m == MarkNone {
			return
		}
		for day := range 8 {
			if text == k.Mark(m, alice, "<1@x>", noon.Add(-time.Duration(day)*24*time.Hour)) {
				return
			}
		}
		t.Fatalf("%q reads as %d", text, m)
	})
}
