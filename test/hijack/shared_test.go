package hijack

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
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
	"sallyport/test/load"
	"sallyport/test/load/rig"
)

// balancer is the address of this host that passes connections of others on.
const balancer = "127.0.0.2"

// atHome is the network in which all accounts are at home.
const atHome = "198.51.100.0/24"

// newOffice starts a server behind a balancer, with ten accounts that have signed in from one
// network for a month, at a site where strangers are seldom written to.
func newOffice(t *testing.T) (*rig.Server, *load.Sink) {
	t.Helper()
	s, sink := prepare(t, `hold = "0s"`, "[proxy]\nfrom = [\""+balancer+"/32\"]\n")
	for len(s.Accounts) < 10 {
		a := rig.Account{Address: fmt.Sprintf("clerk%d@local.test", len(s.Accounts)), Password: fmt.Sprintf("a password for clerk %d", len(s.Accounts))}
		_, err := s.CLI(t.Context(), a.Password+"\n", "account", "add", a.Address, "--password-stdin")
		must(t, err)
		s.Accounts = append(s.Accounts, a)
	}
	remember(t, s)
	start(t, s)
	return s, sink
}

// remember writes what a server knows after a month.
func remember(t *testing.T, s *rig.Server) {
	t.Helper()
	octets, err := keyfile.Load(filepath.Join(s.Data, "keys", "hijack.key"), false, nil)
	must(t, err)
	key, err := hijack.NewKey(octets)
	must(t, err)
	month := time.Now().Add(-30 * 24 * time.Hour)
	var site hijack.Site
	for i := range 3000 {
		at := month.Add(time.Duration(i) * 14 * time.Minute)
		site = site.Learn(hijack.Submitted{At: at, Recipients: hijack.Recipients{Known: 1, Acquainted: true}}, hijack.Verdict{}, hijack.DefaultParams())
	}
	tx := store.Tx{Mutations: []store.Mutation{{Key: []byte("hijack/normal"), Value: site.Append(nil)}}}
	for _, a := range s.Accounts {
		address, err := mail.ParseAddress(a.Address, mail.ASCII)
		must(t, err)
		k := fmt.Appendf(nil, "hijack/from/%s%s", octetsOf(key.Account(address.Key())), octetsOf(key.Text("network", atHome)))
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: k, Value: octetsOf(hijack.Fingerprint(month.UnixNano()))})
	}
	st, err := pebble.Open(pebble.Options{FS: vfs.Default, Dir: filepath.Join(s.Data, "store"), Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	_, err = st.Apply(t.Context(), tx, store.Durable)
	must(t, err)
	must(t, st.Close())
}

func octetsOf(f hijack.Fingerprint) []byte {
	var b [8]byte
	for i := range b {
		b[i] = byte(f >> (56 - 8*i))
	}
	return b[:]
}

// from opens a session of an account from somewhere.
func from(t *testing.T, s *rig.Server, peer string, a rig.Account, c *tls.Config) *client {
	t.Helper()
	raw := connect(t, s.Listen.Submissions[0], &net.TCPAddr{IP: net.ParseIP(balancer)})
	_, err := fmt.Fprintf(raw, "PROXY TCP4 %s 192.0.2.1 4711 465\r\n", peer)
	must(t, err)
	x := greet(t, raw, "submissions", c)
	if r := x.signIn(a.Address, a.Password); !strings.HasPrefix(r, "235") {
		t.Fatalf("%s from %s: %q", a.Address, peer, r)
	}
	return x
}

// said are texts that have nothing in common.
func said(n int) string {
	return strings.Repeat(strings.Repeat(string(rune('a'+n)), 5)+" ", 20)
}

// offers are programs whose TLS differs.
func offers(t *testing.T, s *rig.Server, n int) *tls.Config {
	c := tlsConfig(t, s)
	c.MaxVersion = tls.VersionTLS12
	all := []uint16{
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	c.CipherSuites = all[:2]
	for i, suite := range all[2:] {
		if n>>i&1 == 1 {
			c.CipherSuites = append(c.CipherSuites, suite)
		}
	}
	return c
}

// A thief with ten passwords who writes to one stranger from each is stopped by what his
// sessions have in common, whichever it is. Nobody's account is stopped, and who sends from home
// is served all the time.
func TestManyAccountsDoALittleEach(t *testing.T) {
	for _, c := range []struct {
		name, paused string
		peer         func(n int) string
		text         func(n int) string
		offers       bool // differ
	}{
		{"one network", "the network 203.0.113.0/24", func(n int) string { return fmt.Sprintf("203.0.113.%d", n+1) }, said, true},
		{"one program", "the TLS fingerprint ", func(n int) string { return fmt.Sprintf("203.0.%d.7", n) }, said, false},
		{"one text", "the text ", func(n int) string { return fmt.Sprintf("203.0.%d.7", n) }, func(int) string { return said(0) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, sink := newOffice(t)
			thief := func(n int) string {
				with := tlsConfig(t, s)
				if c.offers {
					with = offers(t, s, n)
				}
				return from(t, s, c.peer(n), s.Accounts[n], with).letter(c.text(n), s.Accounts[n].Address, fmt.Sprintf("victim%d@remote.test", n))
			}
			taken := 0
			for n := range s.Accounts {
				switch r := thief(n); {
				case strings.HasPrefix(r, "250"):
					taken++
				case !strings.HasPrefix(r, "451 4.7.1") || !strings.Contains(r, c.paused):
					t.Errorf("account %d: %q", n, r)
				}
			}
			if n := waitFor(sink, taken, 20*time.Second); taken > 4 || n != taken {
				t.Errorf("%d were taken, and the next hop has %d; 4 are the most", taken, n)
			}
			if list := cli(t, s, "incident", "ls", "--open"); !strings.Contains(list, c.paused) || strings.Count(list, "@local.test") > 0 {
				t.Errorf("%s", list)
			}
			if r := from(t, s, "198.51.100.9", s.Accounts[0], tlsConfig(t, s)).letter(c.text(0), s.Accounts[0].Address, "friend@remote.test"); !strings.HasPrefix(r, "250") {
				t.Errorf("who sends from home: %q", r)
			}

			// The pause outlives the server, and ends by a person alone.
			must(t, s.Stop())
			must(t, s.Start(t.Context()))
			if r := thief(9); !strings.HasPrefix(r, "451 4.7.1") {
				t.Errorf("after a restart: %q", r)
			}
			cli(t, s, "incident", "release", "1")
			if r := thief(9); !strings.HasPrefix(r, "250") {
				t.Errorf("after the release: %q", r)
			}
			if status := cli(t, s, "status"); strings.Contains(status, "incidents open") {
				t.Errorf("%s", status)
			}
			if os.Getenv("SHOW") != "" {
				t.Log(cli(t, s, "incident", "show", "1"))
			}
		})
	}
}
