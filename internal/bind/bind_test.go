package bind_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sallyport/internal/bind"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/message"
)

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// alice is the account of the tests, in the house of the relay cases: LD is
// local.test and second.test, with bob beside her; sales is hers alone, team is not.
func alice(t testing.TB) bind.Owner {
	t.Helper()
	var domains []directory.Domain
	for _, name := range []string{"local.test", "second.test"} {
		d, err := mail.ParseDomain(name)
		if err != nil {
			t.Fatal(err)
		}
		domains = append(domains, directory.Domain{Name: d, Deliver: directory.DeliverMaildir})
	}
	a, b := address(t, "alice@local.test"), address(t, "bob@local.test")
	s, err := directory.NewSnapshot(directory.Config{
		Hostname: domains[0].Name, Domains: domains, Detail: '+',
		Aliases: []directory.Alias{
			{Address: address(t, "sales@local.test"), Targets: []mail.Address{a}, Posting: directory.PostingAnyone},
			{Address: address(t, "team@local.test"), Targets: []mail.Address{a, b}, Posting: directory.PostingAnyone},
		},
	}, []mail.Address{a, b})
	if err != nil {
		t.Fatal(err)
	}
	return s.Owner(a)
}

// judge takes a header section, written with LF, the way that submission does.
func judge(t testing.TB, lines string, cs mail.Charset) bind.Verdict {
	t.Helper()
	h, err := message.ParseHeader([]byte(strings.ReplaceAll(lines, "\n", "\r\n") + "\r\n"))
	if err != nil {
		t.Fatalf("%q: %v", lines, err)
	}
	return bind.Header(alice(t), bind.Authors(h.Authors(cs)))
}

// Rows J of the relay cases, and those between them.
func TestHeader(t *testing.T) {
	for _, c := range []struct{ row, lines, want string }{
		{"", "From: alice@local.test\n", "250 author-owned"},
		{"", "From: Alice <Alice+x@LOCAL.test>\nSender: sales@local.test\n", "250 author-owned"},
		{"", "From: alice@local.test, sales@local.test\nSender: alice@local.test\n", "250 author-owned"},
		{"", "From: bob@local.test\n", "550 author-not-owned"},
		{"", "From: alice@remote.test\n", "550 author-not-owned"},
		{"J05", "From: alice@sub.local.test\n", "550 author-not-owned"},
		{"J05", "From: alice@local.test.\n", "550 author-unclear"},
		{"J05", "From: alice@xlocal.test\n", "550 author-not-owned"},
		{"J06", "From: alice%remote.test@local.test\n", "550 author-not-owned"},
		{"J06", "From: bob(alice@local.test\n", "550 author-unclear"},
		{"J09", "From: alice@local.test\nFrom: bob@local.test\n", "550 author-twice"},
		{"J09", "From: bob@local.test\nFrom: alice@local.test\n", "550 author-twice"},
		{"J09", "From: alice@local.test\nFrom: alice@local.test\n", "550 author-twice"},
		{"J10", "From: alice@local.test, bob@local.test\n", "550 author-not-owned"},
		{"J10", "From: alice@local.test, bob@local.test\nSender: alice@local.test\n", "550 author-not-owned"},
		{"J11", " From: alice@local.test\nFrom: bob@local.test\n", "550 author-unclear"},
		{"J11", " From: bob@local.test\nFrom: alice@local.test\n", "550 author-unclear"},
		{"J13", "From\n : bob@local.test\n", "550 author-unclear"},
		{"J13", "From: alice@local.test\nFrom\n : bob@local.test\n", "550 author-unclear"},
		{"", "From : bob@local.test\nFrom: alice@local.test\n", "550 author-unclear"},
		{"J14", "Sender: bob@local.test\n", "550 author-missing"},
		{"J14", "Sender: alice@local.test\n", "550 author-missing"},
		{"J14", "From: alice@local.test\nSender: bob@local.test\n", "550 sender-field-not-owned"},
		{"", "From: alice@local.test\nSender: alice@local.test\nSender: bob@local.test\n", "550 author-unclear"},
		{"J15", "From: alice@local.test\nResent-From: bob@local.test\nResent-Sender: alice@local.test\n", "550 resent-not-owned"},
		{"J15", "From: alice@local.test\nResent-From: alice@local.test\nResent-Sender: bob@local.test\n", "550 resent-not-owned"},
		{"J15", "From: alice@local.test\nResent-From: sales@local.test\n", "250 author-owned"},
		{"J17", "From: <@alice.local.test,@x:bob@local.test>\n", "550 author-unclear"},
		{"J19", "From: bob@local.test,<alice@local.test>\n", "550 author-not-owned"},
		{"J19", "From: <alice@local.test>,bob@local.test\n", "550 author-not-owned"},
		{"J20", "From: <alice@local.test>bob@local.test\n", "550 author-unclear"},
		{"J21", "From: \"bob@local.test\" <alice@local.test>\n", "250 author-owned [a display name shows \"bob@local.test\"]"},
		{"J21", "From: =?utf-8?q?bob=40local.test?= <alice@local.test>\n", "250 author-owned [a display name shows \"bob@local.test\"]"},
		{"J21", "From: \"sales@local.test\" <alice@local.test>\n", "250 author-owned"},
		{"J23", "From: staff:bob@local.test;\n", "550 author-unclear"},
		{"J23", "From: staff:alice@local.test;\n", "550 author-unclear"},
		{"J23", "From: staff:;\n", "550 author-unclear"},
		{"J25", "From: b\u043eb@local.test\n", "550 author-not-ascii"},
		{"J25", "From: alice@local.test\nResent-From: \u00e4@local.test\n", "550 author-not-ascii"},
		{"J27", "", "550 author-missing"},
		{"J27", "Subject: no author\n", "550 author-missing"},
		{"", "From:\n", "550 author-unclear"},
		{"J28", "__proto__: x\nconstructor: y\nFrom: alice@local.test\n", "250 author-owned"},
		{"J28", strings.Repeat("n", 900<<10) + ": x\nFrom: alice@local.test\n", "250 author-owned"},
		{"J34", "From: team@local.test\n", "550 author-not-owned"},
		{"J35", "From: alice@second.test\n", "550 author-not-owned"},
		{"", "From: =?utf-8?q?alice?=@local.test\n", "550 author-unclear"},
	} {
		v := judge(t, c.lines, mail.ASCII)
		got := fmt.Sprintf("%d %s", v.Reply.Code, v.Rule)
		if len(v.Notes) > 0 {
			got += fmt.Sprintf(" %v", v.Notes)
		}
		enhanced := map[bind.Rule]string{bind.RuleAuthorOwned: "2.1.0", bind.RuleAuthorNotASCII: "5.6.7"}[v.Rule]
		if enhanced == "" {
			enhanced = "5.7.1"
		}
		if got != c.want || v.OK != v.Reply.OK() || v.Reply.Enhanced.String() != enhanced {
			t.Errorf("%s %.100q: %s, %v; want %s", c.row, c.lines, got, v.Reply, c.want)
		}
	}
	// A look-alike is legal with SMTPUTF8, and nobody's here.
	if v := judge(t, "From: b\u043eb@local.test\n", mail.UTF8); v.Rule != bind.RuleAuthorNotOwned {
		t.Errorf("a Cyrillic look-alike: %v", v)
	}
	if v := judge(t, "From: \u00c4lice <alice@local.test>\n", mail.UTF8); !v.OK {
		t.Errorf("a UTF-8 name with SMTPUTF8: %v", v)
	}
}

// The property in other words: whoever passes owns each address that could be
// taken for an author, and there is one field that says so.
func TestWhoPassesOwnsEverything(t *testing.T) {
	// Mostly her own, so that about every fourth draw passes.
	names := []string{"alice@local.test", "sales@local.test", "alice+x@local.test", "Alice@local.test", "alice@LOCAL.test",
		"sales+y@local.test", "bob@local.test", "x@remote.test"}
	o := alice(t)
	rapid.Check(t, func(r *rapid.T) {
		draw := func(label string) []mail.Address {
			return rapid.SliceOfN(rapid.Custom(func(r *rapid.T) mail.Address {
				return address(t, rapid.SampledFrom(names).Draw(r, "name"))
			}), 0, 2).Draw(r, label)
		}
		a := bind.Authors{From: draw("from"), FromFields: rapid.SampledFrom([]int{1, 1, 1, 1, 1, 0, -1, 2}).Draw(r, "fields"), Sender: draw("sender"),
			ResentFrom: draw("resent from"), ResentSender: draw("resent sender"), DisplayClaims: draw("claims"),
			Fault: rapid.SampledFrom([]string{"", "", "", "odd"}).Draw(r, "fault"), NeedsUTF8: rapid.Bool().Draw(r, "utf8")}
		all := slices.Concat(a.From, a.Sender, a.ResentFrom, a.ResentSender)
		may := a.Fault == "" && a.FromFields == 1 && len(a.From) > 0 && !slices.ContainsFunc(all, func(x mail.Address) bool { return !o.Owns(x) })
		v := bind.Header(o, a)
		if v.OK != may || v.OK != v.Reply.OK() {
			r.Fatalf("%+v: %+v", a, v)
		}
	})
}

// Who is told how an address is written has written one wrong; of another line he is told which.
func TestWhatIsNotUnderstoodIsTold(t *testing.T) {
	for lines, want := range map[string]string{
		"From: alice@local.test, bob\n":                                                `an address is missing or incomplete; write it as "Name" <address>`,
		"From: alice@local.test\nSender: bob\n":                                        `an address is missing or incomplete; write it as "Name" <address>`,
		"From alice Sat Nov  7 09:14:22 2026\nFrom: alice@local.test\n":                `characters that no name has: "From alice Sat Nov  7 09"`,
		"From: alice@local.test\nX Mailer: y\n":                                        `characters that no name has: "X Mailer"`,
		"From: alice@local.test\nhello there\n":                                        `a line has no colon: "hello there"`,
		"From: alice@local.test\nSender: alice@local.test\nSender: alice@local.test\n": "there is more than one Sender",
	} {
		if v := judge(t, lines, mail.ASCII); v.OK || !strings.HasSuffix(v.Reply.Text, want) {
			t.Errorf("%q: %s; want %s", lines, v.Reply.Text, want)
		}
	}
}

func FuzzHeaderIsBound(f *testing.F) {
	for _, s := range []string{"From: alice@local.test", "From: bob@local.test", "From: <alice@local.test>, bob@local.test", "From: =?utf-8?q?bob=40local.test?= <alice@local.test>",
		"From: alice@local.test\r\nSender: bob@local.test", "From\r\n : bob@local.test\r\nFrom: alice@local.test", "From: x:alice@local.test;"} {
		f.Add(s)
	}
	o := alice(f)
	f.Fuzz(func(t *testing.T, lines string) {
		h, err := message.ParseHeader([]byte(lines + "\r\n\r\n"))
		if err != nil {
			return
		}
		for _, cs := range []mail.Charset{mail.ASCII, mail.UTF8} {
			a := h.Authors(cs)
			if v := bind.Header(o, bind.Authors(a)); v.OK && (h.Count("From") != 1 || h.Fault() != "" || !o.Owns(a.From[0])) {
				t.Fatalf("%q passed: %+v", lines, a)
			}
		}
	})
}

// The words of the configuration and of the findings read back, and nothing else does.
func TestWords(t *testing.T) {
	for _, m := range []bind.Mode{bind.Enforce, bind.Report} {
		if back, ok := bind.ParseMode(m.String()); back != m || !ok {
			t.Errorf("%v reads as %v", m, back)
		}
	}
	if m, ok := bind.ParseMode("off"); m != bind.Enforce || ok {
		t.Errorf("off reads as %v", m)
	}
	for w := bind.InEnvelope; w <= bind.InResentSender; w++ {
		if back, ok := bind.ParseWhere(w.String()); back != w || !ok {
			t.Errorf("%v reads as %v", w, back)
		}
	}
	if w, ok := bind.ParseWhere(bind.Nowhere.String()); ok {
		t.Errorf("nowhere reads as %v", w)
	}
}

// Whatever a header says: reporting takes it only where it is refused for nothing but names in
// domains of ours, and then the message names the account as its sender.
func TestReportingTakesOnlyNamesOfOurs(t *testing.T) {
	names := []string{"alice@local.test", "bob@local.test", "nosuch@second.test", "x@remote.test", "x@sub.local.test", "x@[192.0.2.1]"}
	o := alice(t)
	ours := func(d mail.Domain) bool { return d.ASCII() == "local.test" || d.ASCII() == "second.test" }
	taken := 0
	rapid.Check(t, func(r *rapid.T) {
		draw := func(label string, least int) []mail.Address {
			return rapid.SliceOfN(rapid.Custom(func(r *rapid.T) mail.Address {
				return address(t, names[min(rapid.IntRange(0, len(names)).Draw(r, "name"), rapid.IntRange(0, len(names)-1).Draw(r, "other"))])
			}), least, 2).Draw(r, label)
		}
		a := bind.Authors{From: draw("from", 0), FromFields: rapid.SampledFrom([]int{1, 1, 1, 1, 0, 2}).Draw(r, "fields"), Sender: draw("sender", 0),
			ResentFrom: draw("resent from", 0), ResentSender: draw("resent sender", 0), Fault: rapid.SampledFrom([]string{"", "", "", "odd"}).Draw(r, "fault")}
		before := bind.Header(o, a)
		v := before.Reported(ours)
		all := slices.Concat(a.From, a.Sender, a.ResentFrom, a.ResentSender)
		may := a.Fault == "" && a.FromFields == 1 && len(a.From) > 0 && !slices.ContainsFunc(all, func(x mail.Address) bool { return !o.Owns(x) && !ours(x.Domain()) })
		if v.OK != may || v.OK != v.Reply.OK() || v.Rule == bind.RuleAuthorReported != (may && !before.OK) {
			r.Fatalf("%+v: %+v", a, v)
		}
		if !v.OK || before.OK {
			if v.OK && v.Missing(a) != nil || v.Missing(a) != nil {
				r.Fatalf("%+v needs %q", a, v.Missing(a))
			}
			return
		}
		taken++
		// After what is missing was put in place of what was there, every sender is hers.
		alien := func(x mail.Address) bool { return !o.Owns(x) }
		for _, c := range []struct {
			field          string
			authors, names []mail.Address
		}{{"Sender", a.From, a.Sender}, {"Resent-Sender", a.ResentFrom, a.ResentSender}} {
			replaced := slices.Contains(v.Missing(a), c.field)
			if want := slices.ContainsFunc(c.names, alien) || slices.ContainsFunc(c.authors, alien) && len(c.names) == 0; replaced != want {
				r.Fatalf("%+v: %s missing: %v", a, c.field, replaced)
			}
		}
	})
	if taken == 0 {
		t.Error("nothing that was drawn is taken")
	}
}
