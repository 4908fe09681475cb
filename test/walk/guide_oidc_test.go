package walk

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/smtp"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/internal/oidc/oidctest"
	"sallyport/test/guide"
)

const issuer = "https://login.example.org/realms/staff"

// provide runs a provider at the guide's address: behind TLS, below a path.
func (f *follower) provide() *oidctest.Provider {
	f.t.Helper()
	p := oidctest.New(f.t, time.Now)
	inner, err := url.Parse(p.URL)
	must(f.t, err)
	p.URL = issuer // which its tokens and its description name
	f.trusted("mx.example.org", "login.example.org")
	pair, err := tls.LoadX509KeyPair(f.path("/etc/sallyport/cert.pem"), f.path("/etc/sallyport/key.pem"))
	must(f.t, err)
	ln, err := tls.Listen("tcp", "127.0.0.1:443", &tls.Config{Certificates: []tls.Certificate{pair}})
	must(f.t, err)
	s := &http.Server{Handler: http.StripPrefix("/realms/staff", httputil.NewSingleHostReverseProxy(inner)), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(ln) }()
	f.t.Cleanup(func() { _ = s.Close() })
	return p
}

// bearer is a program that has a token. RFC 7628 §3.1, and Google's form of before.
type bearer struct{ mech, user, token string }

func (b bearer) Start(*smtp.ServerInfo) (string, []byte, error) {
	if b.mech == "XOAUTH2" {
		return b.mech, []byte("user=" + b.user + "\x01auth=Bearer " + b.token + "\x01\x01"), nil
	}
	return b.mech, []byte("n,a=" + b.user + ",\x01auth=Bearer " + b.token + "\x01\x01"), nil
}

func (b bearer) Next(_ []byte, more bool) ([]byte, error) {
	if more {
		return []byte("\x01"), nil // the error was read, and the answer is to come
	}
	return nil, nil
}

// shows opens a session with a token, or says why it was not let in.
func (f *follower) shows(mech, user, token string) (client, error) {
	f.t.Helper()
	c := dial(f.t, "127.0.0.1:587")
	f.t.Cleanup(func() { _ = c.Close() })
	must(f.t, c.StartTLS(&tls.Config{InsecureSkipVerify: true}))
	return c, c.Auth(bearer{mech, user, token})
}

func (f *follower) lets(user, token string) {
	f.t.Helper()
	for _, mech := range []string{"OAUTHBEARER", "XOAUTH2"} {
		if _, err := f.shows(mech, user, token); err != nil {
			f.t.Errorf("%s by %s: %v", user, mech, err)
		}
	}
}

// wrong is a token that is refused, by whom it is shown, and the reply.
type wrong struct {
	user, token string
	code        string
}

// The guide to tokens of a provider: its block as it is, a good token by either mechanism, and each
// fault of its table (make test has some), for which the trace has to say what the table says.
func TestGuideOIDC(t *testing.T) {
	f := follow(t, guide.Open(t, "oidc.md"), newcomersZone+"login.example.org. 300 IN A 127.0.0.1\n",
		least+"guesses = 1000\nnetwork_guesses = 1000\n", "alice@example.org", "bob@example.org")
	f.doc.EveryCommand(nil)
	p := f.provide()
	f.edit("\n" + f.doc.Block("toml", 0))
	f.gives(0, "sallyport check")
	f.serve("sallyport serve", "127.0.0.1:25")
	f.gives(1, f.doc.Command("sallyport doctor")+" --all", "(?m)^fine .*"+regexp.QuoteMeta(issuer)+".*key")
	f.lets("alice@example.org", p.Token("alice@example.org", nil))
	f.doc.Says("Accounts are still made here (`sallyport account add`), or come from a directory")
	if _, err := f.shows("OAUTHBEARER", "carol@example.org", p.Token("carol@example.org", nil)); err == nil {
		t.Error("who has no account is let in")
	}
	f.gives(0, f.doc.Command("sallyport trace --rule signin-no-account"), "no account has this address")
	f.must(f.doc.Command("sallyport account add") + " carol@example.org --generate")
	f.lets("carol@example.org", p.Token("carol@example.org", nil))
	f.ends(p)
	f.table(p)
	f.onlyWith(p)
}

// refuses shows a token that must not open anything, and looks for what the trace says of it.
func (f *follower) refuses(why string, w wrong) {
	f.t.Helper()
	if _, err := f.shows("OAUTHBEARER", w.user, w.token); err == nil || !strings.HasPrefix(err.Error(), w.code+" ") {
		f.t.Errorf("%s: %v, want %s", why, err, w.code)
	}
	trace := f.doc.Command("sallyport trace ADDRESS", "ADDRESS", w.user)
	parts := strings.Split(why, "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(strings.TrimSpace(parts[i]))
	}
	f.gives(0, trace+" --limit 1", strings.Join(parts, ".*"))
}

// ends: a session goes no longer than its token.
func (f *follower) ends(p *oidctest.Provider) {
	f.t.Helper()
	f.doc.Says("A session ends when its token ends.")
	c, err := f.shows("OAUTHBEARER", "alice@example.org", p.Token("alice@example.org", map[string]any{"exp": time.Now().Add(3 * time.Second).Unix()}))
	must(f.t, err)
	must(f.t, c.Mail("alice@example.org"))
	must(f.t, c.Reset())
	eventually(f.t, "the session has ended", func() bool { return c.Mail("alice@example.org") != nil || c.Reset() != nil })
}

// table makes each fault that the guide lists.
func (f *follower) table(p *oidctest.Provider) {
	f.t.Helper()
	alice := "alice@example.org"
	with := func(claim string, value any) wrong {
		return wrong{alice, p.Token(alice, map[string]any{claim: value}), "535"}
	}
	other := p.NewKey(p.Key().KeyID) // which has the name of theirs
	opaque := p.Opaque("opaque", alice, nil)
	faults := map[string]wrong{
		"it is of another issuer":                                 with("iss", issuer+"/"),
		"the time of the access token is over":                    with("exp", time.Now().Add(-10*time.Minute).Unix()),
		"its time has not come yet":                               with("nbf", time.Now().Add(10*time.Minute).Unix()),
		"expected audience":                                       with("aud", "https://other.example.org"),
		"it lacks the scope":                                      with("scope", "openid"),
		"its claim … is no address":                               with("email", "alice"),
		"it is no access token":                                   {alice, p.Sign(p.Key(), "JWT", p.Claims(alice, map[string]any{"nonce": "n", "at_hash": "x"})), "535"},
		"it is no JWT":                                            {alice, opaque, "535"},
		"its signature is wrong":                                  {alice, p.Sign(other, "at+jwt", p.Claims(alice, nil)), "535"},
		"the same refused token again":                            {alice, opaque, "535"},
		"signin-token-other":                                      {"bob@example.org", p.Token(alice, nil), "535"},
		"it was given to a client that is not among oidc.clients": with("azp", "stranger"),
		"the provider has not verified the address":               with("email_verified", false),
		"it counts only beside a proof of its key":                with("cnf", map[string]string{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
	}
	// Those that need another configuration, below.
	later := map[string]bool{
		"sallyport trace --rule signin-no-account": true, "signin-no-account": true,
		"its key is none of the provider's": true, "signin-expired": true, "signin-scope": true,
		"signin-provider": true, "signin-token": true,
	}
	rows := regexp.MustCompile("(?m)^\\| (`.*?) \\| .* \\|$").FindAllStringSubmatch(f.doc.Text(), -1)
	if len(rows) < 10 {
		f.t.Fatalf("the table has %d rows", len(rows))
	}
	spans := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(strings.Join(firsts(rows), "\n"), -1)
	done := map[string]bool{}
	for _, span := range spans {
		why := span[1]
		if w, ok := faults[why]; ok {
			// Each answer is kept back for a second: make walks has them all.
			if done[why] = true; heavy() || len(done) <= 3 || w.token == opaque || why == "signin-token-other" {
				f.refuses(why, w)
			}
		} else if !later[why] {
			f.t.Errorf("the test makes no fault of which the trace says %q", why)
		}
	}
	if len(done) != len(faults) {
		f.t.Errorf("the table has lost some: %v", done)
	}
	f.wants("the rule", f.gives(0, "sallyport trace "+alice+" --kind sign-in --limit 50"), "signin-token", "signin-expired")
	if heavy() {
		f.asking(p)
	}
}

func firsts(rows [][]string) (all []string) {
	for _, r := range rows {
		all = append(all, r[1])
	}
	return all
}

// asking is about read_scope, claim and ask_as, which the guide's block leaves out.
func (f *follower) asking(p *oidctest.Provider) {
	f.t.Helper()
	before, alice := f.read("/etc/sallyport/sallyport.toml"), "alice@example.org"
	with := func(more string) {
		f.t.Helper()
		f.write("/etc/sallyport/sallyport.toml", before+more)
		f.must("sallyport reload")
	}
	f.doc.Says("with `read_scope`, such as `imap`, that one to read a mailbox and the other to send")
	with("read_scope = \"imap\"\n")
	// The keys were not fetched since the reload.
	f.refuses("its key is none of the provider's", wrong{alice, p.Strange(alice, "of another realm"), "535"})
	f.doc.Says("`its key was none of the provider's a moment ago`: they are fetched twice a minute at most")
	f.refuses("its key was none of the provider's a moment ago", wrong{alice, p.Strange(alice, "of a third realm"), "454"})
	f.refuses("signin-scope", wrong{alice, p.Token(alice, map[string]any{"scope": "openid imap"}), "535"})
	f.doc.Says("With `claim = \"upn\"`, or another, that claim counts as it stands")
	with("claim = \"upn\"\n")
	f.lets(alice, p.Token("x@elsewhere.example", map[string]any{"upn": alice, "email_verified": nil}))
	f.doc.Says("`it answers 401 invalid_client` and the like are the provider's own words about `ask_as`")
	for _, secret := range []string{oidctest.Secret, "wrong"} {
		f.write("/etc/sallyport/oidc.secret", secret+"\n")
		must(f.t, os.Chmod(f.path("/etc/sallyport/oidc.secret"), 0o600))
		with("ask_as = \"" + oidctest.Asker + "\"\nask_secret_file = \"/etc/sallyport/oidc.secret\"\n")
		if token := p.Opaque("asked-about-"+secret[:3], alice, nil); secret == oidctest.Secret {
			f.lets(alice, token)
		} else {
			f.refuses("signin-provider", wrong{alice, token, "454"})
			f.refuses("it answers 401 invalid_client", wrong{alice, token + "2", "454"})
		}
	}
	with("")
}

// onlyWith lets an account in with tokens alone, or with none.
func (f *follower) onlyWith(p *oidctest.Provider) {
	f.t.Helper()
	alice := "alice@example.org"
	f.must(f.doc.Command("sallyport account sign-in ADDRESS token", "ADDRESS", alice))
	if err := signIn(dial(f.t, "127.0.0.1:587"), alice); err == nil {
		f.t.Error("a password opens what opens with tokens alone")
	}
	f.lets(alice, p.Token(alice, nil))
	f.doc.Says("`sign-in ADDRESS app` with app passwords alone")
	f.must("sallyport account app add " + alice + " phone && sallyport account sign-in " + alice + " app")
	if _, err := f.shows("OAUTHBEARER", alice, p.Token(alice, nil)); err == nil {
		f.t.Error("a token opens what opens with app passwords alone")
	}
	f.doc.Says("while the provider does not answer, the keys that are known count for half an hour at most")
	p.Down(true)
	f.lets("bob@example.org", p.Token("bob@example.org", nil))
	var timeout net.Error
	if _, err := f.shows("OAUTHBEARER", "bob@example.org", p.Strange("bob@example.org", "new")); err == nil || errors.As(err, &timeout) {
		f.t.Errorf("a key that nobody knows, with no provider: %v", err)
	}
}
