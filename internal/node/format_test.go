package node_test

import (
	"archive/tar"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/internal/operate/format"
	"sallyport/internal/store"
	"sallyport/test/site"
)

// fixtureTime is when testdata/format0 was made: waiting mail expires by then.
var fixtureTime = time.Date(2026, 11, 25, 19, 30, 0, 0, time.UTC)

// unpack restores a fixture into a folder.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	site.Must(t, err)
	defer f.Close()
	z, err := zstd.NewReader(f)
	site.Must(t, err)
	defer z.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		site.Must(t, err)
		path := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			site.Must(t, os.MkdirAll(path, 0o700))
			continue
		}
		b, err := io.ReadAll(r)
		site.Must(t, err)
		site.Must(t, os.WriteFile(path, b, h.FileInfo().Mode()))
	}
}

// Data of the first release, which kept no record of its format: everything is
// still there after the upgrade, is delivered, and is signed for as before.
func TestDataOfTheFirstReleaseLivesOn(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, nil)
	unpack(t, "testdata/format0/data.tar.zst", s.Dir)
	began := time.Now()
	o := s.Options()
	o.Now = func() time.Time { return fixtureTime.Add(time.Since(began)) }
	o.Paused = true
	n, err := node.Open(t.Context(), s.Config, o)
	site.Must(t, err)
	if r, err := format.Read(s.Config.Data); err != nil || r.Version != format.Current() || r.Program != "test" {
		t.Errorf("the folder says %+v, %v", r, err)
	}
	var states []string
	site.Must(t, n.Operator().QueueList(t.Context(), operate.Self(), operate.Select{}, func(m operate.Message) error {
		states = append(states, fmt.Sprint(m.MessageID, " ", m.State, " ", m.Reason))
		return nil
	}))
	slices.Sort(states)
	want := []string{
		"<frozen@local.test> held with its account frozen in the first release", "<held@local.test> held held in the first release",
		"<large@local.test> waiting ", "<untried@local.test> waiting ", "<waiting@local.test> waiting ",
	}
	if !slices.Equal(states, want) {
		t.Errorf("the queue holds\n%s\nwant\n%s", strings.Join(states, "\n"), strings.Join(want, "\n"))
	}
	verified, err := n.Operator().TraceVerify(t.Context(), operate.Self(), struct{}{})
	if err != nil || !verified.OK() || verified.Checkpoints < 4 || verified.Facts < 35 {
		t.Errorf("the trace: %+v, %v", verified, err)
	}
	answer, err := n.Operator().Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: "bob@local.test"})
	if err != nil || len(answer.Entries) < 3 {
		t.Errorf("the trace tells of bob: %+v, %v", answer, err)
	}
	everyKeyHasASpace(t, n.Store())
	site.Must(t, n.Close())

	o.Paused = false
	n, err = node.Open(t.Context(), s.Config, o)
	site.Must(t, err)
	run := s.Serve(n)
	_, err = n.Operator().AccountThaw(t.Context(), operate.Self(), operate.AccountRef{Address: "carol@local.test"})
	site.Must(t, err)
	for _, change := range []func() (operate.QueueChanged, error){
		func() (operate.QueueChanged, error) {
			return n.Operator().QueueRelease(t.Context(), operate.Self(), operate.QueueChange{Select: operate.Select{All: true}})
		},
		func() (operate.QueueChanged, error) {
			return n.Operator().QueueRetry(t.Context(), operate.Self(), operate.QueueChange{Select: operate.Select{All: true}})
		},
	} {
		_, err := change()
		site.Must(t, err)
	}
	run.Idle()
	for _, id := range []string{"<waiting@local.test>", "<large@local.test>", "<held@local.test>", "<frozen@local.test>"} {
		if got := count(s, id); got != 1 {
			t.Errorf("%s left %d times", id, got)
		}
	}
	box, err := os.ReadDir(filepath.Join(s.Config.Maildir.Root, "local.test", "bob", "new"))
	if err != nil || len(box) != 2 {
		t.Errorf("bob has %d messages, want the old one and the one that waited: %v", len(box), err)
	}
	run.Stopped()

	// Connections live in the time of the clock on the wall.
	o.Now = time.Now
	n, err = node.Open(t.Context(), s.Config, o)
	site.Must(t, err)
	signInOld(t, s, s.Serve(n), "alice@local.test")
}

// count tells how many of the messages that left carry an identifier.
func count(s *site.Site, id string) (n int) {
	for _, m := range s.Sink.Kept() {
		if strings.Contains(string(m.Octets), "Message-ID: "+id) {
			n++
		}
	}
	return n
}

// signInOld signs in with the password that the fixture's account was given.
func signInOld(t *testing.T, s *site.Site, n *site.Running, account string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Config.Data, "passwords.json"))
	site.Must(t, err)
	var known []struct{ Address, Password string }
	site.Must(t, json.Unmarshal(text, &known))
	for _, k := range known {
		if k.Address == account {
			c := site.ConnectTLS(t, n.Addrs().Submissions[0], s.ClientTLS())
			c.OK("250", "EHLO client.test")
			c.OK("235", "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00"+k.Password)))
			return
		}
	}
	t.Fatalf("the fixture has no %s", account)
}

// A folder that a newer program wrote is refused, and stays as it is.
func TestANewerDataFolderIsRefused(t *testing.T) {
	s := site.New(t, nil)
	site.Must(t, s.Open().Close())
	record := filepath.Join(s.Config.Data, format.File)
	newer := fmt.Sprintf("sallyport data format %d, written by v99\n", format.Current()+1)
	site.Must(t, os.WriteFile(record, []byte(newer), 0o600))
	site.Must(t, os.RemoveAll(s.Config.StoreDir()))
	err := fails(t, s, "written by sallyport v99", "nothing was changed")
	if !errors.Is(err, format.ErrNewer) {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(s.Config.StoreDir()); !os.IsNotExist(err) {
		t.Errorf("a store was made: %v", err)
	}
	site.Must(t, os.WriteFile(record, []byte("nonsense"), 0o600))
	fails(t, s, record, "does not read")
}

// everyKeyHasASpace fails for a key that was handed out to no room.
func everyKeyHasASpace(t *testing.T, st store.Store) {
	t.Helper()
	kept := map[store.Space]int{}
	site.Must(t, st.Scan(t.Context(), store.Range{}, func(key, _ []byte) (bool, error) {
		for _, o := range store.Spaces() {
			if o.Space.Has(key) {
				kept[o.Space]++
				return true, nil
			}
		}
		t.Errorf("the key %q is in no space", key)
		return true, nil
	}))
	if len(kept) < 8 || kept[store.SpaceEntries] == 0 || kept[store.SpaceAccounts] == 0 || kept[store.SpaceTree] == 0 {
		t.Errorf("the store holds %v", kept)
	}
}
