package server_test

import (
	"crypto/tls"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A client that others wrote reads what we write, over every kind of answer that it knows.
func TestAnIndependentClient(t *testing.T) {
	w := newWorld(t)
	told := make(chan uint32, 10)
	c, err := imapclient.DialTLS(w.addr, &imapclient.Options{
		TLSConfig:             &tls.Config{InsecureSkipVerify: true},
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: func(d *imapclient.UnilateralDataMailbox) { told <- *d.NumMessages }},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(c.Login(w.account.String(), password).Wait())
	if !c.Caps().Has(imap.CapCondStore) || !c.Caps().Has(imap.CapIMAP4rev2) {
		t.Errorf("%v", c.Caps())
	}
	must[*imap.IDData](t)(c.ID(&imap.IDData{Name: "peer"}).Wait())
	text := "From: Joe <joe@example.org>\r\nSubject: =?utf-8?q?gr=C3=BCn?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\ntwo\r\n--b--\r\n"
	appending := c.Append("INBOX", int64(len(text)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen, "custom"}, Time: time.Unix(1790000000, 0)})
	_ = must[int](t)(io.WriteString(appending, text))
	check(appending.Close())
	if data := must[*imap.AppendData](t)(appending.Wait()); data.UID != 1 {
		t.Errorf("%+v", data)
	}
	box := must[*imap.SelectData](t)(c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait())
	if box.NumMessages != 1 || box.UIDNext != 2 || box.HighestModSeq == 0 {
		t.Errorf("%+v", box)
	}
	all := imap.UIDSetNum(1)
	messages := must[[]*imapclient.FetchMessageBuffer](t)(c.Fetch(all, &imap.FetchOptions{
		UID: true, Flags: true, Envelope: true, InternalDate: true, RFC822Size: true, ModSeq: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BodySection: []*imap.FetchItemBodySection{
			{Peek: true}, {Part: []int{2}, Peek: true},
			{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Subject"}, Peek: true},
		},
	}).Collect())
	if len(messages) != 1 {
		t.Fatal(messages)
	}
	m := messages[0]
	if m.UID != 1 || m.Envelope.Subject != "grün" || m.RFC822Size != int64(len(text)) || m.InternalDate.Unix() != 1790000000 || m.ModSeq == 0 || len(m.Flags) < 2 {
		t.Errorf("%+v", m)
	}
	if s, ok := m.BodyStructure.(*imap.BodyStructureMultiPart); !ok || len(s.Children) != 2 {
		t.Errorf("%+v", m.BodyStructure)
	}
	for i, want := range []string{text, "two", "Subject: =?utf-8?q?gr=C3=BCn?=\r\n\r\n"} {
		if have := string(m.BodySection[i].Bytes); have != want {
			t.Errorf("%q, want %q", have, want)
		}
	}
	stored := must[[]*imapclient.FetchMessageBuffer](t)(c.Store(all, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}, &imap.StoreOptions{UnchangedSince: m.ModSeq}).Collect())
	if len(stored) != 1 || stored[0].ModSeq <= m.ModSeq {
		t.Errorf("%+v", stored)
	}
	found := must[*imap.SearchData](t)(c.UIDSearch(&imap.SearchCriteria{Flag: []imap.Flag{imap.FlagFlagged}, ModSeq: &imap.SearchCriteriaModSeq{ModSeq: m.ModSeq + 1}}, &imap.SearchOptions{ReturnAll: true, ReturnCount: true}).Wait())
	if found.Count != 1 || found.ModSeq == 0 {
		t.Errorf("%+v", found)
	}
	check(c.Create("Archive/2026", nil).Wait())
	copied := must[*imap.CopyData](t)(c.Copy(all, "Archive/2026").Wait())
	if copied.UIDValidity == 0 || !copied.DestUIDs.Contains(1) {
		t.Errorf("%+v", copied)
	}
	folders := must[[]*imap.ListData](t)(c.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true, NumUnseen: true, Size: true}, ReturnSpecialUse: true}).Collect())
	if len(folders) < 7 || folders[0].Status == nil {
		t.Errorf("%+v", folders)
	}
	must[*imap.NamespaceData](t)(c.Namespace().Wait())
	if _, err := c.Move(all, "Archive/2026").Wait(); err != nil {
		t.Error(err)
	}
	idle := must[*imapclient.IdleCommand](t)(c.Idle())
	for len(told) > 0 {
		<-told
	}
	w.login().append("INBOX", "", "Subject: new\n\nx\n")
	select {
	case n := <-told:
		if n != 1 {
			t.Errorf("told of %d", n)
		}
	case <-time.After(5 * time.Second):
		t.Error("an idle client was told of nothing")
	}
	check(idle.Close())
	check(c.Logout().Wait())
}

// Programs that are everywhere, each through its own reading of our answers.
func TestProgramsThatAreEverywhere(t *testing.T) {
	w := newWorld(t)
	w.login().append("INBOX", `\Seen`, "From: Joe <joe@example.org>\nSubject: for programs\n\nread me\n")
	host, port, _ := strings.Cut(w.addr, ":")
	url := "imaps://" + w.addr
	user := w.account.String() + ":" + password
	for name, tt := range map[string]struct {
		program string
		args    []string
		want    string
	}{
		"curl lists":   {"curl", []string{"-sSk", "--user", user, url}, "INBOX"},
		"curl reads":   {"curl", []string{"-sSk", "--user", user, url + "/INBOX;UID=1"}, "read me"},
		"curl section": {"curl", []string{"-sSk", "--user", user, url + "/INBOX;UID=1;SECTION=HEADER.FIELDS%20(SUBJECT)"}, "Subject: for programs"},
		"curl finds":   {"curl", []string{"-sSk", "--user", user, url + "/INBOX?SUBJECT%20programs"}, "* SEARCH 1"},
		"imaplib": {"python3", []string{"-c", `
import imaplib, ssl, sys, time
c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
m = imaplib.IMAP4_SSL(sys.argv[1], int(sys.argv[2]), ssl_context=c)
m.login(sys.argv[3], sys.argv[4])
assert m.list()[0] == 'OK'
assert m.create('"py folder"')[0] == 'OK'
assert m.append('"py folder"', '(\\Flagged)', imaplib.Time2Internaldate(time.time()), b'Subject: x\r\n\r\nbody\r\n')[0] == 'OK'
assert m.select('"py folder"') == ('OK', [b'1'])
typ, data = m.fetch('1', '(FLAGS BODY[] ENVELOPE)')
assert data[0][1] == b'Subject: x\r\n\r\nbody\r\n', data
assert m.store('1', '+FLAGS', '\\Deleted')[0] == 'OK'
assert m.search(None, 'DELETED') == ('OK', [b'1'])
assert m.expunge() == ('OK', [b'1'])
m.close(); assert m.enable('UTF8=ACCEPT')[0] == 'OK'
m.delete('"py folder"'); m.logout()
print('all is well')
`, host, port, w.account.String(), password}, "all is well"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(tt.program); err != nil {
				t.Skip(err)
			}
			out, err := exec.Command(tt.program, tt.args...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
