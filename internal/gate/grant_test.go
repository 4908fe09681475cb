package gate

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
)

func key(t testing.TB, fill byte) Key {
	t.Helper()
	k, err := NewKey(bytes.Repeat([]byte{fill}, KeyOctets))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// granted asks the gate for the grants of a transaction, as intake does.
func granted(t testing.TB, tx mail.ID, account mail.Address, sender mail.ReversePath, to ...mail.Address) []Grant {
	t.Helper()
	f := Facts{DoorSubmission, PeerStranger, AuthPassword, StandingActive, OwnershipOwned, DestinationForeign}
	if sender.IsNull() {
		f.Ownership = OwnershipNull
	}
	var gs []Grant
	for _, rcpt := range to {
		g, ok := Decide(f, Subject{tx, account, sender, rcpt}).Grant()
		if !ok {
			t.Fatalf("no grant for %v", rcpt)
		}
		gs = append(gs, g)
	}
	return gs
}

func joined(t testing.TB, gs []Grant) Grant {
	t.Helper()
	g, err := Join(gs...)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestAGrantCoversExactlyWhatItNames(t *testing.T) {
	tx, other := queueID(t, 1), queueID(t, 2)
	alice, bob := address(t, "alice@local.test"), address(t, "bob@local.test")
	v1, v2, up := address(t, "v1@remote.test"), address(t, "v2@remote.test"), address(t, "V1@remote.test")
	literal := address(t, "v1@[192.0.2.1]")
	sender := mail.PathOf(alice)
	g := joined(t, granted(t, tx, alice, sender, v2, v1, v2))
	for _, c := range []struct {
		what   string
		tx     mail.ID
		sender mail.ReversePath
		rcpt   mail.Address
		want   bool
	}{
		{"itself", tx, sender, v1, true},
		{"its other recipient", tx, sender, v2, true},
		{"another transaction", other, sender, v1, false},
		{"no transaction", mail.ID{}, sender, v1, false},
		{"another sender", tx, mail.PathOf(bob), v1, false},
		{"the null sender", tx, mail.NullPath(), v1, false},
		{"no sender", tx, mail.ReversePath{}, v1, false},
		{"another recipient", tx, sender, bob, false},
		{"another spelling", tx, sender, up, false},
		{"a literal", tx, sender, literal, false},
		{"no recipient", tx, sender, mail.Address{}, false},
	} {
		if got := g.Covers(c.tx, c.sender, c.rcpt); got != c.want {
			t.Errorf("covers %s: %v", c.what, got)
		}
	}
	if got := g.Recipients(); !slices.Equal(got, []mail.Address{v1, v2}) {
		t.Errorf("recipients %v", got)
	}
	g.Recipients()[0] = bob
	if g.Covers(tx, sender, bob) {
		t.Error("a grant was changed from outside")
	}
	if (Grant{}).Covers(mail.ID{}, mail.ReversePath{}, mail.Address{}) {
		t.Error("the zero grant covers something")
	}
}

func TestOnlyGrantsOfOneTransactionJoin(t *testing.T) {
	tx, other := queueID(t, 1), queueID(t, 2)
	alice, bob, v := address(t, "alice@local.test"), address(t, "bob@local.test"), address(t, "v@remote.test")
	base := granted(t, tx, alice, mail.PathOf(alice), v)[0]
	for what, gs := range map[string][]Grant{
		"nothing":             nil,
		"a zero grant":        {base, {}},
		"two transactions":    {base, granted(t, other, alice, mail.PathOf(alice), v)[0]},
		"two accounts":        {base, granted(t, tx, bob, mail.PathOf(alice), v)[0]},
		"two senders":         {base, granted(t, tx, alice, mail.PathOf(bob), v)[0]},
		"a sender and a null": {base, granted(t, tx, alice, mail.NullPath(), v)[0]},
	} {
		if g, err := Join(gs...); !errors.Is(err, ErrJoin) || !g.IsZero() {
			t.Errorf("%s joined: %v", what, err)
		}
	}
}

func TestJoinIsBounded(t *testing.T) {
	alice := address(t, "alice@local.test")
	var many []Grant
	for i := range MaxGrantRecipients + 1 {
		many = append(many, Grant{tx: queueID(t, 1), account: alice, sender: mail.NullPath(),
			recipients: []mail.Address{address(t, fmt.Sprintf("v%d@remote.test", i))}})
	}
	if _, err := Join(many...); !errors.Is(err, ErrGrantSize) {
		t.Errorf("%d recipients: %v", len(many), err)
	}
	if _, err := Join(many[1:]...); err != nil {
		t.Errorf("%d recipients: %v", len(many)-1, err)
	}
}

func TestKey(t *testing.T) {
	for _, bad := range [][]byte{nil, {}, make([]byte, 32), bytes.Repeat([]byte{1}, 31), bytes.Repeat([]byte{1}, 33)} {
		if k, err := NewKey(bad); !errors.Is(err, ErrKey) || k != (Key{}) {
			t.Errorf("a key of %d octets: %v", len(bad), err)
		}
	}
	k := key(t, 0x41)
	for _, shown := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k), fmt.Sprintf("%s", k), fmt.Sprintf("%v", &k)} {
		if strings.Contains(shown, "AAAA") || strings.Contains(shown, "65") || strings.Contains(shown, "4141") {
			t.Errorf("a key shows its secret: %s", shown)
		}
	}
}

func TestOneChangedBitDoesNotRestore(t *testing.T) {
	alice := address(t, "alice@local.test")
	g := joined(t, granted(t, queueID(t, 7), alice, mail.PathOf(alice), address(t, "v@remote.test"), address(t, "w@remote.test")))
	sealed := g.Seal(key(t, 1))
	for i := range len(sealed) * 8 {
		bad := bytes.Clone(sealed)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := Restore(key(t, 1), bad); !errors.Is(err, ErrSeal) {
			t.Fatalf("bit %d: %v", i, err)
		}
	}
	for n := range len(sealed) {
		if _, err := Restore(key(t, 1), sealed[:n]); !errors.Is(err, ErrSeal) {
			t.Fatalf("%d octets: %v", n, err)
		}
	}
	if _, err := Restore(key(t, 2), sealed); !errors.Is(err, ErrSeal) {
		t.Error("another key restores")
	}
	if _, err := Restore(Key{}, sealed); !errors.Is(err, ErrSeal) {
		t.Error("no key restores")
	}
	if g.Seal(Key{}) != nil || (Grant{}).Seal(key(t, 1)) != nil {
		t.Error("without key or grant something is sealed")
	}
}

// What is under the right MAC but was not written by Seal is refused as well.
func TestRestoreReadsOnlyWhatSealWrites(t *testing.T) {
	k := key(t, 1)
	alice := address(t, "alice@local.test")
	good := joined(t, granted(t, queueID(t, 7), alice, mail.PathOf(alice), address(t, "a@remote.test"), address(t, "b@remote.test")))
	text := good.Seal(k)
	text = text[:len(text)-32]
	unsorted := good
	unsorted.recipients = []mail.Address{good.recipients[1], good.recipients[0]}
	for what, text := range map[string][]byte{
		"nothing":                  {},
		"another version":          append([]byte{4}, text[1:]...),
		"a notice with a sender":   append([]byte{sealOfNotice}, text[1:]...),
		"octets behind the end":    append(bytes.Clone(text), 0),
		"half a grant":             text[:len(text)/2],
		"recipients out of order":  unsorted.Seal(k)[:len(text)],
		"more recipients than fit": append(text[:bytes.LastIndex(text, []byte("\x02\x0da@"))], 0xff, 0xff, 0xff, 0x7f),
	} {
		if g, err := Restore(k, append(bytes.Clone(text), k.mac(text)...)); !errors.Is(err, ErrSeal) || !g.IsZero() {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestSealRestoresTheSameGrant(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		account := drawAddress(r, "account")
		sender := mail.PathOf(drawAddress(r, "sender"))
		if rapid.Bool().Draw(r, "null") {
			sender = mail.NullPath()
		}
		tx := queueID(t, rapid.Byte().Filter(func(b byte) bool { return b > 0 }).Draw(r, "tx"))
		to := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) mail.Address { return drawAddress(r, "rcpt") }), 1, 20).Draw(r, "to")
		g := joined(t, granted(t, tx, account, sender, to...))
		slices.Reverse(to)
		again := joined(t, granted(t, tx, account, sender, to...))
		if !bytes.Equal(g.Seal(key(t, 3)), again.Seal(key(t, 3))) {
			r.Fatal("the order of the recipients shows in the seal")
		}
		back, err := Restore(key(t, 3), g.Seal(key(t, 3)))
		if err != nil {
			r.Fatal(err)
		}
		if back.Transaction() != tx || back.Account() != account || back.Sender() != sender || !slices.Equal(back.Recipients(), g.Recipients()) {
			r.Fatalf("%+v became %+v", g, back)
		}
		for _, rcpt := range to {
			if !back.Covers(tx, sender, rcpt) {
				r.Fatalf("%v is not covered any more", rcpt)
			}
		}
		stranger := drawAddress(r, "stranger")
		if back.Covers(tx, sender, stranger) != slices.Contains(to, stranger) {
			r.Fatalf("%v: covered without having been granted", stranger)
		}
	})
}

func drawAddress(r *rapid.T, label string) mail.Address {
	local := rapid.StringMatching(`[a-zA-Z .@"\\é]{1,6}`).Draw(r, label+" local")
	host := rapid.SampledFrom([]string{"remote.test", "a.test", "xn--bcher-kva.test", "[192.0.2.1]", "[IPv6:2001:db8::1]"}).Draw(r, label+" host")
	a, err := mail.ParseAddress(`"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local)+`"@`+host, mail.UTF8)
	if err != nil {
		r.Fatalf("%q@%s: %v", local, host, err)
	}
	return a
}

func FuzzRestore(f *testing.F) {
	alice := address(f, "alice@local.test")
	g := joined(f, granted(f, queueID(f, 7), alice, mail.PathOf(alice), address(f, "v@remote.test")))
	k := key(f, 1)
	sealed := g.Seal(k)
	f.Add(sealed[:len(sealed)-32])
	f.Add([]byte{sealOfAccount})
	f.Add([]byte{sealOfNotice})
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := Restore(k, text); err == nil {
			t.Fatal("a grant was forged without the key")
		}
		// With the key, so that the reader behind the MAC is reached.
		g, err := Restore(k, append(bytes.Clone(text), k.mac(text)...))
		if err != nil {
			return
		}
		if !bytes.Equal(g.Seal(k), append(bytes.Clone(text), k.mac(text)...)) {
			t.Fatal("two texts restore to one grant")
		}
	})
}

func BenchmarkSealRestore(b *testing.B) {
	alice := address(b, "alice@local.test")
	g := joined(b, granted(b, queueID(b, 7), alice, mail.PathOf(alice), address(b, "v@remote.test")))
	k := key(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Restore(k, g.Seal(k)); err != nil {
			b.Fatal(err)
		}
	}
}
