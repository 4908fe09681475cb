package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/imap/wire"
)

func parse(t *testing.T, line string) (wire.Command, *wire.Fault) {
	t.Helper()
	return wire.Parse([]byte(line+"\r\n"), false, wire.DefaultLimits())
}

// What clients send, and what it means.
func TestCommandsAreRead(t *testing.T) {
	for line, want := range map[string]string{
		"a1 NOOP":                               "NOOP <nil>",
		"a1 noop ":                              "NOOP <nil>",
		"a1 LOGIN joe \"pass word\"":            "LOGIN {User:joe Password:pass word}",
		"a1 LOGIN {3}\r\njoe {4+}\r\na\"\\b":    `LOGIN {User:joe Password:a"\b}`,
		`a1 LOGIN joe "a\"b\\c"`:                `LOGIN {User:joe Password:a"b\c}`,
		"a1 AUTHENTICATE plain":                 "AUTHENTICATE {Mechanism:PLAIN Initial:[]}",
		"a1 AUTHENTICATE PLAIN AGEAYg==":        "AUTHENTICATE {Mechanism:PLAIN Initial:[0 97 0 98]}",
		`a1 ID ("name" "mutt" "version" NIL)`:   "ID {Fields:map[name:mutt]}",
		"a1 ID NIL":                             "ID {Fields:map[]}",
		"a1 ENABLE UTF8=ACCEPT condstore":       "ENABLE {Names:[UTF8=ACCEPT CONDSTORE]}",
		"a1 SELECT inbox":                       "SELECT {Name:INBOX CondStore:false QResync:<nil>}",
		"a1 SELECT InBox/Sub (CONDSTORE)":       "SELECT {Name:INBOX/Sub CondStore:true QResync:<nil>}",
		"a1 SELECT &ANw-bung":                   "SELECT {Name:Übung CondStore:false QResync:<nil>}",
		"a1 SELECT \"Übung\"":                   "SELECT {Name:Übung CondStore:false QResync:<nil>}",
		"a1 CREATE Sent/ (USE (\\Sent))":        `CREATE {Name:Sent Use:[\Sent]}`,
		"a1 RENAME a \"b c\"":                   "RENAME {From:a To:b c}",
		"a1 STATUS INBOX (messages UNSEEN)":     "STATUS {Name:INBOX Items:[MESSAGES UNSEEN]}",
		"a1 UID EXPUNGE 1:3,7":                  "EXPUNGE {Set:{Ranges:[{From:1 To:3} {From:7 To:7}] Saved:false}}",
		"a1 UID COPY $ Trash":                   "COPY {Set:{Ranges:[] Saved:true} To:Trash}",
		"a1 STORE 1:* +FLAGS.SILENT \\seen Foo": `STORE {Set:{Ranges:[{From:1 To:0}] Saved:false} Op:1 Silent:true Flags:[\Seen Foo] Conditional:false UnchangedSince:0}`,
		"a1 STORE 2 (UNCHANGEDSINCE 5) FLAGS ()": `STORE {Set:{Ranges:[{From:2 To:2}] Saved:false} Op:0 Silent:false Flags:[] ` +
			`Conditional:true UnchangedSince:5}`,
	} {
		c, fault := parse(t, line)
		if fault != nil {
			t.Errorf("%q: %v", line, fault)
			continue
		}
		if have := fmt.Sprintf("%s %+v", c.Verb, c.Args); have != want || c.Tag != "a1" {
			t.Errorf("%q:\nhave %s\nwant %s", line, have, want)
		}
	}
}

func TestListIsRead(t *testing.T) {
	for line, want := range map[string]string{
		`a LIST "" *`: "{Reference: Patterns:[*] Extended:false Subscribed:false SpecialUse:false Remote:false RecursiveMatch:false ReturnSubscribed:false ReturnChildren:false ReturnSpecialUse:false ReturnStatus:[]}",
		`a LIST (SUBSCRIBED RECURSIVEMATCH) "" ("a%" b) RETURN (CHILDREN STATUS (MESSAGES))`: "{Reference: Patterns:[a% b] Extended:true Subscribed:true SpecialUse:false Remote:false RecursiveMatch:true ReturnSubscribed:false ReturnChildren:true ReturnSpecialUse:false ReturnStatus:[MESSAGES]}",
	} {
		c, fault := parse(t, line)
		if have := fmt.Sprintf("%+v", c.Args); fault != nil || have != want {
			t.Errorf("%q: %v\nhave %s\nwant %s", line, fault, have, want)
		}
	}
}

// Each item is answered by the name that the client knows.
func TestFetchIsRead(t *testing.T) {
	for items, want := range map[string]string{
		"ALL":                                    "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE",
		"full":                                   "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY",
		"(UID FLAGS UID)":                        "UID FLAGS",
		"BODY[]":                                 "BODY[]",
		"body.peek[1.2.mime]<0.10>":              "BODY[1.2.MIME]",
		`BODY.PEEK[HEADER.FIELDS (date "From")]`: "BODY[HEADER.FIELDS (date From)]",
		"(BINARY.SIZE[1.1] BINARY[2] RFC822.TEXT)": "BINARY.SIZE[1.1] BINARY[2] RFC822.TEXT",
		"(PREVIEW (LAZY) UID)":                     "PREVIEW UID",
		"(PREVIEW UID)":                            "PREVIEW UID",
		"BODYSTRUCTURE":                            "BODYSTRUCTURE",
		"BODY":                                     "BODY",
		"UID (CHANGEDSINCE 7 VANISHED)":            "UID",
	} {
		c, fault := parse(t, "a FETCH 1 "+items)
		if fault != nil {
			t.Errorf("%s: %v", items, fault)
			continue
		}
		f, _ := c.Args.(wire.Fetch)
		var names []string
		for _, i := range f.Items {
			names = append(names, i.Name)
		}
		if have := strings.Join(names, " "); have != want {
			t.Errorf("%s: have %s, want %s", items, have, want)
		}
	}
}

func TestSearchIsRead(t *testing.T) {
	c, fault := parse(t, `a UID SEARCH RETURN (MIN COUNT) CHARSET UTF-8 OR (FROM joe UNSEEN) NOT 1:5 SINCE 1-Feb-2026 LARGER 10 MODSEQ "/flags/\\draft" all 620162338`)
	if fault != nil {
		t.Fatal(fault)
	}
	k, _ := c.Args.(wire.Search)
	if !c.UID || !k.Min || !k.Count || k.All || !k.Key.ModSeq() || len(k.Key.Keys) != 4 || k.Key.Keys[0].Op != wire.KeyOr {
		t.Errorf("%+v", k)
	}
	if c, fault = parse(t, "a SORT (REVERSE DATE SUBJECT) UTF-8 ALL"); fault != nil {
		t.Fatal(fault)
	}
	if k, _ := c.Args.(wire.Search); fmt.Sprint(k.Sort) != "[{DATE true} {SUBJECT false}]" {
		t.Errorf("%+v", k.Sort)
	}
}

// What is none of the grammar is refused whole, with the tag where there is one.
func TestFaultsAreFound(t *testing.T) {
	for _, line := range []string{
		"", " ", "a", "a ", "* NOOP", "+ NOOP", "a NOOP x", "a FOO", "a UID NOOP", "a LOGIN joe", "a LOGIN joe \"x", "a LOGIN joe \"\x80\"",
		"a LOGIN {5}\r\njoe x", "a LOGIN {2}\r\na\x00 b", "a SELECT &&", "a SELECT &AGE-", "a SELECT \"a\x01b\"", "a SELECT x (FOO)",
		"a STORE 0 FLAGS ()", "a STORE 1 FLAGS (\\Recent)", "a STORE 1 FLAGS (\\Foo)", "a STORE 4294967296 FLAGS ()", "a FETCH 1 ()", "a FETCH 1 BODY[MIME]",
		"a FETCH 1 BODY[HEADER.FIELDS ()]", "a FETCH 1 BODY[]<0.0>", "a FETCH 1 UID (VANISHED)", "a FETCH 1,, UID",
		"a SEARCH", "a SEARCH CHARSET UTF-8 SUBJECT \"\xfc\"", "a SEARCH ()", "a SEARCH SINCE 1-Foo-2026", "a SEARCH FOO", "a SORT (REVERSE) UTF-8 ALL", "a THREAD X UTF-8 ALL",
		"a LIST (RECURSIVEMATCH) \"\" *", "a STATUS x ()", "a AUTHENTICATE PLAIN ====",
	} {
		c, fault := parse(t, line)
		if fault == nil {
			t.Errorf("%q is taken for %+v", line, c)
		} else if strings.HasPrefix(line, "a ") && fault.Tag != "a" {
			t.Errorf("%q: the fault has the tag %q", line, fault.Tag)
		}
	}
}

// Every bound of a command holds, and what is just within it is taken.
func TestBoundsOfACommand(t *testing.T) {
	l := wire.Limits{CommandOctets: 4096, LiteralOctets: 5, Literals: 2, Nesting: 3, Keys: 6, Items: 3, PatternOctets: 9, Ranges: 3}
	for line, good := range map[string]bool{
		"a LOGIN {5}\r\nabcde x":                        true,
		"a LOGIN {6}\r\nabcdef x":                       false,
		"a ID ({1}\r\na {1}\r\nb {1}\r\nc NIL)":         false,
		"a SEARCH NOT NOT NOT ALL":                      true,
		"a SEARCH NOT NOT NOT NOT ALL":                  false,
		"a SEARCH (((ALL)))":                            true,
		"a SEARCH ((((ALL))))":                          false,
		"a SEARCH ALL ALL ALL ALL ALL ALL":              true,
		"a SEARCH ALL ALL ALL ALL ALL ALL ALL":          false,
		"a FETCH 1 (UID FLAGS ENVELOPE)":                true,
		"a FETCH 1 (UID FLAGS ENVELOPE BODY)":           false,
		"a FETCH 1,2,3 UID":                             true,
		"a FETCH 1,2,3,4 UID":                           false,
		"a SEARCH 1,2 UID 3":                            true,
		"a SEARCH 1,2 UID 3,4":                          false,
		"a FETCH 1 BODY[1.2.3]":                         true,
		"a FETCH 1 BODY[1.2.3.4]":                       false,
		"a STORE 1 FLAGS a b c":                         true,
		"a STORE 1 FLAGS a b c d":                       false,
		"a ENABLE A B C":                                true,
		"a ENABLE A B C D":                              false,
		"a STATUS x (MESSAGES UNSEEN UIDNEXT RECENT)":   false,
		"a LIST \"\" (a b c)":                           true,
		"a LIST \"\" (a b c d)":                         false,
		"a LIST \"ref\" (a bb)":                         true,
		"a LIST \"ref\" (a bbb)":                        false,
		"a FETCH 1 BODY[HEADER.FIELDS (a b c d)]":       false,
		"a CREATE x (USE (\\Sent \\Junk \\Drafts \\A))": false,
	} {
		_, fault := wire.Parse([]byte(line+"\r\n"), false, l)
		if (fault == nil) != good {
			t.Errorf("%q: %v", line, fault)
		}
	}
}

func TestAppendIsReadUpToTheMessage(t *testing.T) {
	l := wire.DefaultLimits()
	a, whole, fault := wire.ParseAppend([]byte("a APPEND \"Sent\" (\\seen $Fwd) \" 5-Nov-2026 10:00:00 +0100\" {310+}\r\n"), false, l)
	if fault != nil || !whole || a.Name != "Sent" || fmt.Sprint(a.Flags) != `[\Seen $Fwd]` || a.Date.Unix() != 1793869200 || a.Literal.Octets != 310 || a.Literal.Waits {
		t.Errorf("%+v %v %v", a, whole, fault)
	}
	if _, whole, fault = wire.ParseAppend([]byte("a APPEND {4}\r\n"), false, l); whole || fault != nil {
		t.Errorf("the name is taken for the message: %v", fault)
	}
	a, whole, fault = wire.ParseAppend([]byte("a APPEND {4}\r\nSent UTF8 (~{5}\r\n"), false, l)
	if fault != nil || !whole || !a.UTF8 || !a.Literal.Binary || !a.Literal.Waits {
		t.Errorf("%+v %v %v", a, whole, fault)
	}
	if _, whole, fault = wire.ParseNextAppend([]byte(")\r\n"), a, l); whole || fault != nil {
		t.Error(whole, fault)
	}
	if a, whole, fault = wire.ParseNextAppend([]byte(") (\\Draft) {7}\r\n"), a, l); !whole || fault != nil || a.Literal.Octets != 7 || a.UTF8 {
		t.Error(a, whole, fault)
	}
	if _, _, fault = wire.ParseAppend([]byte("a APPEND Sent foo\r\n"), false, l); fault == nil {
		t.Error("an APPEND without a message is taken")
	}
}

func TestSetsAreNumbersInOrder(t *testing.T) {
	for text, want := range map[string]string{
		"1": "1", "5:2,3:7": "2:7", "*": "9", "*:8": "8:9", "12:*": "9:12", "1,2,3,5": "1:3,5", "4294967295,1": "1,4294967295",
	} {
		c, fault := parse(t, "a UID EXPUNGE "+text)
		if fault != nil {
			t.Fatal(text, fault)
		}
		e, _ := c.Args.(wire.Expunge)
		if have := string(wire.AppendRanges(nil, e.Set.Within(9))); have != want {
			t.Errorf("%s: have %s, want %s", text, have, want)
		}
	}
}

func TestNamesHaveOneForm(t *testing.T) {
	for utf7, name := range map[string]string{
		"Sent": "Sent", "&ANw-bung": "Übung", "a&-b": "a&b", "&U,BTFw-": "台北", "~peter/mail/&U,BTFw-/&ZeVnLIqe-": "~peter/mail/台北/日本語", "&2D3eAA-": "😀",
	} {
		if have := wire.EncodeName(name); have != utf7 {
			t.Errorf("%s becomes %s, not %s", name, have, utf7)
		}
		if have, err := wire.DecodeName(utf7); err != nil || have != name {
			t.Errorf("%s becomes %q: %v", utf7, have, err)
		}
	}
	for _, bad := range []string{"&", "&A", "&AGE-", "&ANw", "&ANw-&ANw-", "&2D0-", "&AN-", "a&b", "&ANw=-", "\u00fc"} {
		if name, err := wire.DecodeName(bad); err == nil {
			t.Errorf("%q is taken for %q", bad, name)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b", true}, {"%", "a/b", false}, {"%", "a", true}, {"a/%", "a/b", true}, {"a/%", "a/b/c", false}, {"a*c", "a/b/c", true},
		{"", "", true}, {"", "a", false}, {"%/%", "a/b", true}, {"*b*", "abc", true}, {"a%", "a", true}, {"b", "ab", false}, {"A", "a", false},
	} {
		if wire.Matches(c.pattern, c.name, '/') != c.want {
			t.Errorf("%q, %q: not %v", c.pattern, c.name, c.want)
		}
	}
}

func TestStringsAreWrittenSoThatTheyAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"": `""`, "a b": `"a b"`, `a"\`: `"a\"\\"`, "a\r\nb": "{4}\r\na\r\nb", "ü": "{2}\r\nü", "a\x00b": "{2}\r\nab",
	} {
		if have := string(wire.AppendString(nil, text, false)); have != want {
			t.Errorf("%q is written as %q", text, have)
		}
	}
	if have := string(wire.AppendString(nil, "ü", true)); have != `"ü"` {
		t.Error(have)
	}
	if have := string(wire.AppendMailbox(nil, "Übung", false)); have != "&ANw-bung" {
		t.Error(have)
	}
	if have := string(wire.AppendMailbox(nil, "Übung", true)); have != `"Übung"` {
		t.Error(have)
	}
}
