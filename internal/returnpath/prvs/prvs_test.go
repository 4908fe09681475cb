package prvs

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

const day = 24 * time.Hour

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

func sign(t testing.TB, k Key, a string, end time.Time) mail.Address {
	t.Helper()
	p, err := k.Sign(address(t, a), end)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheFormOfTheDraft(t *testing.T) {
	k := key(t, 1)
	end := noon.Add(14 * day)
	for _, plain := range []string{"alice@local.test", "Alice+lists@local.test", "älice@bücher.test", `"a b"@local.test`, strings.Repeat("a", 48) + "@local.test",
		"a=b@local.test", "prvs@local.test", "prvs=x@local.test"} {
		p := sign(t, k, plain, end)
		a := address(t, plain)
		want := fmt.Sprintf("prvs=0%03d", end.Unix()/86400%1000)
		if !strings.HasPrefix(p.Local(), want) || !strings.HasSuffix(p.Local(), "="+a.Local()) || p.Domain() != a.Domain() || !Is(p) || len(p.Local()) != 16+len(a.Local()) {
			t.Errorf("%s is signed as %s", a, p)
		}
		if again := address(t, p.String()); again != p {
			t.Errorf("%s does not read back", p)
		}
		for _, form := range []string{p.Local(), strings.ToLower(p.Local()), strings.ToUpper(p.Local())} {
			back, err := p.WithLocal(form)
			if err != nil {
				t.Fatal(err)
			}
			if got, until, err := k.Open(back, noon); err != nil || got.Key() != a.Key() || dayOf(until) != dayOf(end) {
				t.Errorf("%s opens as %s until %s, %v", back, got, until, err)
			}
		}
	}
}

func TestWhatTakesNoSignature(t *testing.T) {
	k := key(t, 1)
	for _, plain := range []string{strings.Repeat("a", 49) + "@local.test", `"` + strings.Repeat(" ", 47) + `"@local.test`, "a@[192.0.2.1]",
		sign(t, k, "alice@local.test", noon).String(), "prvs=xxxxxxxxxx=alice@local.test", "a@" + strings.Repeat("long-label-of-a-domain.", 10) + "sub.test"} {
		a := address(t, plain)
		if _, err := k.Sign(a, noon); !errors.Is(err, ErrUnfit) || Fits(a) {
			t.Errorf("%s: %v, fits %v", plain, err, Fits(a))
		}
	}
	if _, err := k.Sign(mail.Address{}, noon); !errors.Is(err, ErrUnfit) {
		t.Errorf("nobody is signed: %v", err)
	}
	if !Fits(address(t, "alice@local.test")) {
		t.Error("alice does not fit")
	}
}

func TestZero(t *testing.T) {
	var k Key
	if _, err := k.Sign(address(t, "alice@local.test"), noon); !errors.Is(err, ErrKey) {
		t.Errorf("signed without a key: %v", err)
	}
	if _, _, err := k.Open(sign(t, key(t, 1), "alice@local.test", noon), noon); !errors.Is(err, ErrForged) {
		t.Errorf("opened without a key: %v", err)
	}
	for _, secret := range [][]byte{nil, make([]byte, KeyOctets), bytes.Repeat([]byte{1}, 31), bytes.Repeat([]byte{1}, 33)} {
		if _, err := NewKey(secret); !errors.Is(err, ErrKey) {
			t.Errorf("a key of %d octets: %v", len(secret), err)
		}
	}
	secret := key(t, 0x41)
	if text := fmt.Sprintf("%v %+v %#v %s", secret, secret, secret, secret); strings.Contains(text, "AAAA") || strings.Contains(text, "65, 65") || strings.Contains(text, "0x41") {
		t.Errorf("the key prints its secret: %s", text)
	}
}

// A signature lasts through its last day, is known as ours and ended for what three
// digits can tell, and is never valid again.
func TestTheEnd(t *testing.T) {
	k := key(t, 1)
	const life = 14
	p := sign(t, k, "alice@local.test", noon.Add(life*day))
	for n := range 3000 {
		_, _, err := k.Open(p, noon.Add(time.Duration(n)*day))
		want := error(nil)
		switch {
		case n > life+cycle-61:
			want = ErrForged
		case n > life:
			want = ErrStale
		}
		if !errors.Is(err, want) {
			t.Fatalf("after %d days: %v; want %v", n, err, want)
		}
	}
	if _, _, err := k.Open(sign(t, k, "alice@local.test", noon.Add(MaxLife)), noon); err != nil {
		t.Errorf("the longest life: %v", err)
	}
	if _, _, err := k.Open(sign(t, k, "alice@local.test", noon.Add(MaxLife+day)), noon); !errors.Is(err, ErrForged) {
		t.Errorf("longer than the longest life: %v", err)
	}
	for _, at := range []time.Time{{}, time.Unix(-1, 0), time.Unix(0, 0), time.Unix(1<<40, 0)} {
		if _, _, err := k.Open(sign(t, k, "alice@local.test", at), at); err != nil {
			t.Errorf("at %v: %v", at, err)
		}
	}
}

// All attempts of one message bear one return path; what leaves late has time to come
// back all the same.
func TestEnd(t *testing.T) {
	for _, row := range []struct {
		after, want time.Duration // since it was received
	}{{0, 14 * day}, {5 * day, 14 * day}, {7 * day, 14 * day}, {7*day + 1, 21*day + 1}, {90 * day, 104 * day}, {-time.Hour, 14*day - time.Hour}} {
		if got := End(noon, noon.Add(row.after), 14*day).Sub(noon); got != row.want {
			t.Errorf("after %v it ends after %v, want %v", row.after, got, row.want)
		}
	}
}

func TestIs(t *testing.T) {
	for s, want := range map[string]bool{
		"prvs=0123abcdef=alice@local.test": true, "PRVS=0123ABCDEF=alice@local.test": true, "prvs=zzzzzzzzzz=a@local.test": true, `"prvs=0123abcdef=a b"@local.test`: true,
		"prvs=0123abcde=alice@local.test": false, "prvs=0123abcdef0=alice@local.test": false, "prvs=0123abcdef=@local.test": false, "prvs=0123abcdef@local.test": false,
		"prvs=0123abcd.f=alice@local.test": false, "xprvs=0123abcdef=alice@local.test": false, "alice@local.test": false, "prvs@local.test": false,
	} {
		if Is(address(t, s)) != want {
			t.Errorf("%s: %v", s, !want)
		}
	}
}

func drawAddress(t *rapid.T, label string) mail.Address {
	local := rapid.StringMatching(`[a-z0-9=+]{1,48}`).Draw(t, label)
	a, err := mail.ParseAddress(local+"@"+rapid.SampledFrom([]string{"local.test", "other.test", "bücher.test"}).Draw(t, label+" domain"), mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// What was signed opens until its end; whatever is changed makes it a forgery, and
// what was signed for one address opens for no other. The change keeps the case of
// letters out: a relay may fold it. A changed octet hits the MAC of 24 bits by chance
// once in many million draws.
func TestASignatureCannotBeChanged(t *testing.T) {
	k, other := key(t, 1), key(t, 2)
	rapid.Check(t, func(t *rapid.T) {
		a := drawAddress(t, "address")
		life := rapid.IntRange(0, 60).Draw(t, "life")
		age := rapid.IntRange(0, 200).Draw(t, "age")
		p, err := k.Sign(a, noon.Add(time.Duration(life)*day))
		if Is(a) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		plain, _, err := k.Open(p, noon.Add(time.Duration(age)*day))
		if plain != a || (err == nil) != (age <= life) || err != nil && !errors.Is(err, ErrStale) {
			t.Fatalf("%s opens after %d of %d days as %s: %v", p, age, life, plain, err)
		}
		if _, _, err := other.Open(p, noon); !errors.Is(err, ErrForged) {
			t.Fatalf("another key opens %s: %v", p, err)
		}
		local := []byte(p.Local())
		at := rapid.IntRange(0, len(local)-1).Draw(t, "at")
		local[at] = rapid.SampledFrom([]byte("abcdefghijklmnopqrstuvwxyz0123456789=-+.")).Draw(t, "octet")
		changed, err := p.WithLocal(string(local))
		if err != nil || strings.EqualFold(string(local), p.Local()) {
			return
		}
		if got, _, err := k.Open(changed, noon); !errors.Is(err, ErrForged) {
			t.Fatalf("%s opens as %s: %v", changed, got, err)
		}
		if b := drawAddress(t, "other"); b.Key() != a.Key() && !Is(b) {
			stolen, err := b.WithLocal(p.Local()[:16] + b.Local())
			if err != nil {
				t.Fatal(err)
			}
			if got, _, err := k.Open(stolen, noon); !errors.Is(err, ErrForged) {
				t.Fatalf("what was signed for %s opens for %s", a, got)
			}
		}
	})
}

// FuzzOpen: what opens is what Sign made of an address of the same domain, and nothing
// panics.
func FuzzOpen(f *testing.F) {
	k := key(f, 1)
	for _, plain := range []string{"alice@local.test", "carl%remote.test@local.test"} {
		f.Add(sign(f, k, plain, noon).Local())
		f.Add(sign(f, k, plain, noon.Add(-3*day)).Local())
	}
	for _, s := range []string{"", "prvs=", "prvs=0=", "prvs=0123abcdef=alice", "prvs=0123abcdef=prvs=0123abcdef=alice", "prvs=0123abcdef=victim@remote.test", "PRVS=0999FFFFFF=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, local string) {
		a, err := address(t, "x@local.test").WithLocal(local)
		if err != nil {
			return
		}
		plain, end, err := k.Open(a, noon)
		if errors.Is(err, ErrForged) {
			if !plain.IsZero() || !end.IsZero() {
				t.Fatalf("%q is forged, and %s", local, plain)
			}
			return
		}
		again, failed := k.Sign(plain, end)
		switch {
		case err != nil && !errors.Is(err, ErrStale):
			t.Fatalf("%q: %v", local, err)
		case failed != nil || again.Key() != a.Key() || !Is(a) || Is(plain):
			t.Fatalf("%q opens as %s, which is signed as %s: %v", local, plain, again, failed)
		case (err == nil) == (end.Before(noon.Add(-day))):
			t.Fatalf("%q ends on %v: %v", local, end, err)
		}
	})
}
