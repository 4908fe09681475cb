package hijack

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/hijack"
	"sallyport/internal/kit/keyfile"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
	"sallyport/test/load/rig"
)

const (
	subscribers = 200
	// mostOfBulk is what docs/hijack.md promises of a stolen bulk account: how many recipients
	// of a list of which 13 % is refused have the message, written to one by one.
	mostOfBulk = 100
)

func subscriber(n int) string {
	if n%100 == 7 {
		return fmt.Sprintf("gone%d@remote.test", n) // one in a hundred leaves
	}
	return fmt.Sprintf("reader%d@remote.test", n)
}

// issues writes what a server knows of a bulk account that sent its newsletter daily for a month.
func issues(t *testing.T, s *rig.Server, a rig.Account) {
	t.Helper()
	octets, err := keyfile.Load(filepath.Join(s.Data, "keys", "hijack.key"), false, nil)
	must(t, err)
	key, err := hijack.NewKey(octets)
	must(t, err)
	address, err := mail.ParseAddress(a.Address, mail.ASCII)
	must(t, err)
	p, who, month := hijack.DefaultParams().Bulk(10_000, 50_000), key.Account(address.Key()), time.Now().Add(-30*24*time.Hour)
	var state hijack.State
	for day := range 30 {
		at := month.Add(time.Duration(day) * 24 * time.Hour)
		for n := range subscribers {
			var v hijack.Verdict
			state, v = hijack.Advance(state, hijack.Submitted{At: at, Recipients: hijack.Recipients{Known: 1, Elsewhere: 1, Acquainted: true}}, hijack.Site{}.Priors(p), p)
			answer := hijack.Answered{At: at, Of: 1, All: 1}
			if n%100 == 7 {
				answer.Refused = 1
			}
			state, v = hijack.Advance(state, answer, hijack.Site{}.Priors(p), p)
			if v.Contain {
				t.Fatal("an honest issue is contained")
			}
		}
	}
	k := append([]byte("hijack/state/"+address.Key()), 0, 0, 0)
	tx := store.Tx{Mutations: []store.Mutation{{Key: k, Value: state.Append(octetsOf(1))}}}
	first := octetsOf(hijack.Fingerprint(month.UnixNano()))
	for n := range subscribers {
		to, err := mail.ParseAddress(subscriber(n), mail.ASCII)
		must(t, err)
		f := key.Address(to)
		tx.Mutations = append(tx.Mutations,
			store.Mutation{Key: fmt.Appendf(nil, "hijack/pair/%s%s", octetsOf(who), octetsOf(f)), Value: first},
			store.Mutation{Key: fmt.Appendf(nil, "hijack/site/%s", octetsOf(f)), Value: first})
	}
	st, err := pebble.Open(pebble.Options{FS: vfs.Default, Dir: filepath.Join(s.Data, "store"), Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	_, err = st.Apply(t.Context(), tx, store.Durable)
	must(t, err)
	must(t, st.Close())
}

// A bulk account sends its issue as it does every day, and all have it at once. Whoever stole
// its password sends something else from elsewhere to a list that he bought, of which 13 % is
// refused: he is contained when the next hop has no more of it than is promised, and the
// issues before are no part of what is held.
func TestAStolenNewsletter(t *testing.T) {
	s, sink := prepare(t, "", "[proxy]\nfrom = [\""+balancer+"/32\"]\n")
	news := rig.Account{Address: "news@local.test", Password: "a password for the newsletter"}
	_, err := s.CLI(t.Context(), news.Password+"\n", "account", "add", news.Address, "--role", "bulk", "--password-stdin")
	must(t, err)
	s.Accounts = append(s.Accounts, news)
	remember(t, s)
	issues(t, s, news)
	start(t, s)

	honest := from(t, s, "198.51.100.9", news, tlsConfig(t, s))
	for n := range subscribers {
		if r := honest.letter("the issue of today", news.Address, subscriber(n)); !strings.HasPrefix(r, "250") {
			t.Fatalf("the honest issue, to subscriber %d: %q", n, r)
		}
	}
	const readers = subscribers - subscribers/100
	if n := waitFor(sink, readers, 30*time.Second); n != readers {
		t.Errorf("%d of %d readers have the issue", n, readers)
	}
	if list := cli(t, s, "incident", "ls"); !strings.Contains(list, "there is no incident") {
		t.Fatalf("the honest issue is an incident:\n%s", list)
	}

	thief, last := from(t, s, "203.0.113.66", news, offers(t, s, 3)), ""
	sent := 0
	for ; sent < 2000; sent++ {
		to := fmt.Sprintf("victim%d@remote.test", sent)
		if (sent+1)*13/100 > sent*13/100 {
			to = fmt.Sprintf("gone-victim%d@remote.test", sent)
		}
		if last = thief.letter("cheap pills, and a link", news.Address, to); !strings.HasPrefix(last, "250") {
			break
		}
	}
	if !strings.HasPrefix(last, "550 5.7.13") && !strings.HasPrefix(last, "421") && last != "" {
		t.Errorf("after %d messages the thief gets %q", sent, last)
	}
	time.Sleep(2 * time.Second)
	leaked := recipients(sink) - readers
	t.Logf("the thief had %d messages taken, and %d recipients have one", sent, leaked)
	if leaked > mostOfBulk || leaked < 1 {
		t.Errorf("%d recipients have the thief's message, %d are promised at most", leaked, mostOfBulk)
	}
	show := cli(t, s, "incident", "show", "1")
	for _, want := range []string{"account     " + news.Address, "recipients were refused", "203.0.113.66"} {
		if !strings.Contains(show, want) {
			t.Errorf("the incident does not say %q:\n%s", want, show)
		}
	}
	if strings.Contains(show, "from this host") {
		t.Errorf("the incident takes the server itself for the thief:\n%s", show)
	}
	if os.Getenv("SHOW") != "" {
		t.Log(show)
	}
}
