package gate

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/mail"
)

// Known answers: what an older release sealed restores, so a changed layout needs
// another version. The key is 32 octets of 0x01.
func TestKnownSeals(t *testing.T) {
	alice := address(t, "alice@local.test")
	for _, c := range []struct {
		what   string
		sender mail.ReversePath
		to     []string
		sealed string
	}{
		{"one recipient", mail.PathOf(alice), []string{"v@remote.test"},
			"0100000000000000000000000000000710616c696365406c6f63616c2e74657374123c616c696365406c6f63616c2e746573743e010d764072656d6f74652e74657374bdc969548596093656f430b9b5fd8267dbbe777f43e8701aad04e6c9361ab4cb"},
		{"the null sender", mail.NullPath(), []string{"v@remote.test"},
			"0100000000000000000000000000000710616c696365406c6f63616c2e74657374023c3e010d764072656d6f74652e74657374fc9d9d9a78a705284fb76a5a3855cef7d0dd2710937d5362a3c1816168f467b4"},
		{"recipients of every form", mail.PathOf(alice), []string{"V+x@remote.test", `"a b"@bücher.test`, "v@[192.0.2.1]", "v@[IPv6:2001:db8::1]"},
			"0100000000000000000000000000000710616c696365406c6f63616c2e74657374123c616c696365406c6f63616c2e746573743e040d76405b3139322e302e322e315d1476405b495076363a323030313a6462383a3a315d0f562b784072656d6f74652e7465737418226120622240786e2d2d62636865722d6b76612e746573749693f281db358d070057e4a8f29771f9be514e341ed310c8b2aa5daf6acdc441"},
	} {
		var to []mail.Address
		for _, r := range c.to {
			to = append(to, address(t, r))
		}
		g := joined(t, granted(t, queueID(t, 7), alice, c.sender, to...))
		sealed := g.Seal(key(t, 1))
		if got := hex.EncodeToString(sealed); got != c.sealed {
			t.Errorf("%s: sealed as\n%s, want\n%s", c.what, got, c.sealed)
		}
		known, err := hex.DecodeString(c.sealed)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Restore(key(t, 1), known)
		if err != nil || back.Account() != alice || back.Sender() != c.sender || back.Transaction() != queueID(t, 7) {
			t.Errorf("%s: restored as %+v, %v", c.what, back, err)
		}
		for _, r := range to {
			if !back.Covers(queueID(t, 7), c.sender, r) {
				t.Errorf("%s: %v is not covered any more", c.what, r)
			}
		}
	}
}

// A notice is sealed as one: nobody answers for it after a restart either, and it joins
// nothing that an account answers for.
func TestANoticeIsSealedAsOne(t *testing.T) {
	alice, out := address(t, "alice@local.test"), address(t, "v@remote.test")
	v := Decide(Facts{DoorNotice, PeerStranger, AuthNone, StandingNone, OwnershipNull, DestinationContact},
		Subject{Transaction: queueID(t, 7), Account: alice, Sender: mail.NullPath(), Recipient: out})
	g, ok := v.Grant()
	if !ok {
		t.Fatal(v.Rule)
	}
	sealed := g.Seal(key(t, 1))
	const known = "0200000000000000000000000000000710616c696365406c6f63616c2e74657374023c3e010d764072656d6f74652e74657374a868c355f22900369478ee05cd7e6a725c8da175b8172697591e692316675316"
	if got := hex.EncodeToString(sealed); got != known {
		t.Errorf("sealed as\n%s, want\n%s", got, known)
	}
	back, err := Restore(key(t, 1), sealed)
	if err != nil || back.Account() != alice || !back.Answers().IsZero() || !back.Covers(queueID(t, 7), mail.NullPath(), out) {
		t.Errorf("restored as %+v, %v", back, err)
	}
	mine := granted(t, queueID(t, 7), alice, mail.NullPath(), out)[0]
	if _, err := Join(g, mine); !errors.Is(err, ErrJoin) || mine.Answers() != alice {
		t.Errorf("a notice joins what an account answers for: %v", err)
	}
	if j, err := Join(g, g); err != nil || !j.Answers().IsZero() {
		t.Errorf("joined, somebody answers for a notice: %+v, %v", j, err)
	}
}

// A report is sealed as one: after a restart too it is known that the server wrote it, and it
// joins nothing that somebody who signed in sent.
func TestAReportIsSealedAsOne(t *testing.T) {
	alice, out := address(t, "alice@local.test"), address(t, "v@remote.test")
	v := Decide(Facts{DoorReport, PeerStranger, AuthNone, StandingActive, OwnershipOwned, DestinationForeign},
		Subject{Transaction: queueID(t, 7), Account: alice, Sender: mail.PathOf(alice), Recipient: out})
	g, ok := v.Grant()
	if !ok {
		t.Fatal(v.Rule)
	}
	sealed := g.Seal(key(t, 1))
	const known = "0300000000000000000000000000000710616c696365406c6f63616c2e74657374123c616c696365406c6f63616c2e746573743e010d764072656d6f74652e7465737490a17bfa68b324b7efd5ac105bf1bd1f892f1900faa50fd983b71ff8a07f6928"
	if got := hex.EncodeToString(sealed); got != known {
		t.Errorf("sealed as\n%s, want\n%s", got, known)
	}
	back, err := Restore(key(t, 1), sealed)
	if err != nil || !back.Report() || back.Answers() != alice || !back.Covers(queueID(t, 7), mail.PathOf(alice), out) {
		t.Errorf("restored as %+v, %v", back, err)
	}
	mine := granted(t, queueID(t, 7), alice, mail.PathOf(alice), out)[0]
	if _, err := Join(g, mine); !errors.Is(err, ErrJoin) || mine.Report() {
		t.Errorf("a report joins what somebody sent: %v", err)
	}
	if j, err := Join(g, g); err != nil || !j.Report() {
		t.Errorf("joined, it is no report any more: %+v, %v", j, err)
	}
	for what, other := range map[string]byte{"an account's": sealOfAccount, "a notice": sealOfNotice} {
		forged := bytes.Clone(sealed)
		forged[0] = other
		if _, err := Restore(key(t, 1), forged); !errors.Is(err, ErrSeal) {
			t.Errorf("a report is made %s: %v", what, err)
		}
	}
	null := granted(t, queueID(t, 7), alice, mail.NullPath(), out)[0].Seal(key(t, 1))
	null[0] = sealOfReport
	if _, err := Restore(key(t, 1), sealedUnder(key(t, 1), null[:len(null)-sha256.Size])); !errors.Is(err, ErrSeal) {
		t.Errorf("a report of the null sender: %v", err)
	}
}

// sealedUnder puts the right MAC of a key under any text.
func sealedUnder(k Key, text []byte) []byte { return append(bytes.Clone(text), k.mac(text)...) }

// Everybody can compute a MAC under the zero key: it restores nothing, not even what
// verifies under it.
func TestTheZeroKeyRestoresNothing(t *testing.T) {
	alice := address(t, "alice@local.test")
	sealed := granted(t, queueID(t, 7), alice, mail.PathOf(alice), address(t, "v@remote.test"))[0].Seal(key(t, 1))
	forged := sealedUnder(Key{}, sealed[:len(sealed)-32])
	if g, err := Restore(Key{}, forged); !errors.Is(err, ErrSeal) || !g.IsZero() {
		t.Errorf("the zero key restores what was made under it: %+v, %v", g, err)
	}
}

// A MAC made under the same secret for anything else is no grant's.
func TestASealIsForGrantsAlone(t *testing.T) {
	alice := address(t, "alice@local.test")
	sealed := granted(t, queueID(t, 7), alice, mail.PathOf(alice), address(t, "v@remote.test"))[0].Seal(key(t, 1))
	text := sealed[:len(sealed)-32]
	if bytes.Equal(sealed[len(text):], plainMAC(bytes.Repeat([]byte{1}, KeyOctets), text)) {
		t.Error("the MAC does not say what it is for")
	}
}

// What is under the right MAC, but names nobody, or is written otherwise than Seal
// writes, is refused.
func TestRestoreTakesOneTextForEachGrant(t *testing.T) {
	const id = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07"
	text := func(s string) string { return string(binary.AppendUvarint(nil, uint64(len(s)))) + s }
	alice, v := text("alice@local.test"), text("v@remote.test")
	const version, one = "\x01", "\x01"
	sender := text("<alice@local.test>")
	good := version + id + alice + sender + one + v
	if _, err := Restore(key(t, 1), sealedUnder(key(t, 1), []byte(good))); err != nil {
		t.Fatalf("the text that the others are made of: %v", err)
	}
	for what, bad := range map[string]string{
		"no transaction":             version + strings.Repeat("\x00", 15) + alice + sender + one + v,
		"no account":                 version + id + text("") + sender + one + v,
		"an account that is none":    version + id + text("alice") + sender + one + v,
		"an account in capitals":     version + id + text("alice@LOCAL.test") + sender + one + v,
		"no sender":                  version + id + alice + text("") + one + v,
		"a sender that is none":      version + id + alice + text("<alice>") + one + v,
		"a sender in capitals":       version + id + alice + text("<alice@LOCAL.test>") + one + v,
		"no recipients":              version + id + alice + sender + "\x00",
		"a recipient that is none":   version + id + alice + sender + one + text("v"),
		"a recipient in capitals":    version + id + alice + sender + one + text("v@REMOTE.test"),
		"an empty recipient":         version + id + alice + sender + one + text(""),
		"a long form of a length":    version + id + "\x90\x00" + "alice@local.test" + sender + one + v,
		"a long form of the number":  version + id + alice + sender + "\x81\x00" + v,
		"a length beyond the end":    version + id + alice + sender + one + "\x7fv@remote.test",
		"a length beyond all":        version + id + alice + sender + one + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01v@remote.test",
		"a length without an end":    version + id + alice + sender + one + "\xff\xff",
		"a number without an end":    version + id + alice + sender + "\xff",
		"more recipients than told":  good + v,
		"fewer recipients than told": version + id + alice + sender + "\x02" + v,
		"recipients out of order":    version + id + alice + sender + "\x02" + v + text("a@remote.test"),
		"version 0":                  "\x00" + good[1:],
		"nothing":                    "",
		"a version alone":            version,
		"a transaction cut off":      version + id[:14],
	} {
		if g, err := Restore(key(t, 1), sealedUnder(key(t, 1), []byte(bad))); !errors.Is(err, ErrSeal) || !g.IsZero() {
			t.Errorf("%s: %+v, %v", what, g, err)
		}
	}
}

// A grant may name as many recipients as Join allows, and no more.
func TestRestoreIsBounded(t *testing.T) {
	alice := address(t, "alice@local.test")
	g := Grant{tx: queueID(t, 1), account: alice, sender: mail.NullPath()}
	for i := range MaxGrantRecipients + 1 {
		g.recipients = append(g.recipients, address(t, fmt.Sprintf("v%06d@remote.test", i)))
	}
	if _, err := Restore(key(t, 1), g.Seal(key(t, 1))); !errors.Is(err, ErrSeal) {
		t.Errorf("%d recipients: %v", len(g.recipients), err)
	}
	g.recipients = g.recipients[1:]
	if _, err := Restore(key(t, 1), g.Seal(key(t, 1))); err != nil {
		t.Errorf("%d recipients: %v", len(g.recipients), err)
	}
}

// Half a grant is none, and a verdict that does not relay gives none.
func TestHalfAGrantIsNone(t *testing.T) {
	alice, v := address(t, "alice@local.test"), address(t, "v@remote.test")
	whole := granted(t, queueID(t, 7), alice, mail.PathOf(alice), v)[0]
	noTransaction, noRecipients, nobody := whole, whole, whole
	noTransaction.tx = mail.ID{}
	noRecipients.recipients = nil
	nobody.recipients = []mail.Address{{}}
	for what, g := range map[string]Grant{"no transaction": noTransaction, "no recipients": noRecipients} {
		if !g.IsZero() || g.Covers(g.tx, g.sender, v) || g.Seal(key(t, 1)) != nil {
			t.Errorf("%s: it is a grant", what)
		}
		if _, err := Join(g); !errors.Is(err, ErrJoin) {
			t.Errorf("%s: it joins", what)
		}
		if _, ok := (Verdict{Action: Relay, grant: g}).Grant(); ok {
			t.Errorf("%s: a verdict gives it", what)
		}
	}
	if nobody.Covers(nobody.tx, nobody.sender, mail.Address{}) {
		t.Error("nobody is covered")
	}
	for _, a := range []Action{Refuse, Defer, AcceptLocal} {
		if _, ok := (Verdict{Action: a, grant: whole}).Grant(); ok {
			t.Errorf("a verdict to %v gives a grant", a)
		}
	}
	if g, ok := (Verdict{Action: Relay, grant: whole}).Grant(); !ok || g.IsZero() {
		t.Error("a verdict to relay gives none")
	}
}

// The words for a Key are always the same.
func TestAKeyPrintsAsAWord(t *testing.T) {
	k := key(t, 1)
	if k.String() != "gate.Key(secret)" || fmt.Sprintf("%#v", k) != "gate.Key(secret)" {
		t.Errorf("%v, %#v", k, k)
	}
}

func plainMAC(secret, text []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(text)
	return h.Sum(nil)
}
