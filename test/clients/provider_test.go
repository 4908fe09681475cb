package clients

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/test/guide"
)

// provider is an OpenID provider of somebody else's, which runs as a program of its own.
type provider struct {
	t      *testing.T
	issuer string
	cmd    *exec.Cmd
}

const (
	providerAudience = "https://mail.example.org" // as docs/guides/oidc.md has it
	providerScope    = "smtp"
	providerSecret   = "a secret of two" // as provider.mjs has it; it has blanks, which are quoted on the way (RFC 6749 §2.3.1)
	providerBack     = "http://127.0.0.1:1/back"
)

func startProvider(t *testing.T) *provider {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := ln.Addr().String()
	_ = ln.Close()
	p := &provider{t: t, issuer: "http://" + at}
	p.cmd = exec.Command(Tool(t, "node"), "provider.mjs", p.issuer, providerAudience, providerScope)
	p.cmd.Dir = "provider"
	log := &tail{max: 16 << 10}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	for range 300 {
		if answer, err := http.Get(p.issuer + "/.well-known/openid-configuration"); err == nil {
			_ = answer.Body.Close()
			return p
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("the provider does not answer\n%s", log)
	return nil
}

func (p *provider) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// tokens are what a person gets who signs in at the provider with a mail program: by the
// authorization code flow with PKCE, through the pages that the provider shows. RFC 6749
// §4.1, RFC 7636.
func (p *provider) tokens(client, person string) (access, id string) {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	verifier := base64.RawURLEncoding.EncodeToString([]byte(rand.Text() + rand.Text()))
	challenge := sha256.Sum256([]byte(verifier))
	at := p.issuer + "/auth?" + url.Values{
		"client_id": {client}, "response_type": {"code"}, "redirect_uri": {providerBack}, "scope": {"openid email " + providerScope}, "resource": {providerAudience},
		"prompt": {"consent"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode()
	code := p.walk(browser, at, person)
	answer, err := browser.PostForm(p.issuer+"/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {providerBack}, "client_id": {client}, "code_verifier": {verifier},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	var given struct {
		Access string `json:"access_token"`
		ID     string `json:"id_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&given); err != nil || given.Access == "" || given.ID == "" {
		p.t.Fatalf("%s: %v, no tokens", answer.Status, err)
	}
	return given.Access, given.ID
}

var (
	formAction = regexp.MustCompile(`action="([^"]+)"`)
	formPrompt = regexp.MustCompile(`name="prompt" value="([^"]+)"`)
)

// walk goes through the provider's pages until it sends the browser back with a code.
func (p *provider) walk(browser *http.Client, at, person string) (code string) {
	p.t.Helper()
	var form url.Values
	for range 20 {
		var answer *http.Response
		var err error
		if form == nil {
			answer, err = browser.Get(at)
		} else {
			answer, err = browser.PostForm(at, form)
		}
		if err != nil {
			p.t.Fatal(err)
		}
		page, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		form = nil
		if to, err := answer.Location(); err == nil {
			if at = to.String(); strings.HasPrefix(at, providerBack) {
				return to.Query().Get("code")
			}
			continue
		}
		action, prompt := formAction.FindSubmatch(page), formPrompt.FindSubmatch(page)
		if action == nil || prompt == nil {
			p.t.Fatalf("%s\n%s", answer.Status, page)
		}
		form = url.Values{"prompt": {string(prompt[1])}}
		if string(prompt[1]) == "login" {
			form.Set("login", person)
			form.Set("password", "any")
		}
		next, err := answer.Request.URL.Parse(string(action[1]))
		if err != nil {
			p.t.Fatal(err)
		}
		at = next.String()
	}
	p.t.Fatal("the provider's pages have no end")
	return ""
}

// Tokens of a provider that knows nothing of us sign people in, whether they say themselves
// what they are or have to be asked about; whatever else it gave out does not, and the trace
// says why.
func TestTokensOfAnotherProvider(t *testing.T) {
	if os.Getenv("SALLYPORT_CLIENTS") == "" {
		t.Skip("make clients runs the programs")
	}
	p := startProvider(t)
	s := Start(t)
	alice, bob := s.Account("alice").Address, s.Account("bob")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(providerSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(s.Config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	block := guide.Replaced(t, guide.Open(t, "oidc.md").Block("toml", 0), "https://login.example.org/realms/staff", p.issuer, `["thunderbird"]`, `["thunderbird", "opaque"]`)
	_, err = fmt.Fprintf(f, "\n[auth]\nguesses = 1000\n\n%sask_as = \"sallyport\"\nask_secret_file = %q\n", block, secret)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	Run(t, nil, s.Binary, "reload", "-c", s.Config)
	Run(t, []byte("correct horse battery staple\n"), s.Binary, "account", "add", "unverified@local.test", "--password-stdin", "-c", s.Config)
	send := curlToken("OAUTHBEARER")
	takes := func(from, token, text string) {
		t.Helper()
		if err := send(t, s, from, bob.Address, token, "Last line, "+text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		find(t, bob.Maildir, text)
	}
	refuses := func(from, token, why string) {
		t.Helper()
		if err := send(t, s, from, bob.Address, token, "never"); err == nil {
			t.Errorf("sent, where it should be refused since %s", why)
		}
		if out := Run(t, nil, s.Binary, "trace", from, "-c", s.Config); !strings.Contains(out, why) {
			t.Errorf("%q is not in:\n%s", why, out)
		}
	}
	signed, id := p.tokens("thunderbird", alice)
	takes(alice, signed, "by a token that is a JWT")
	opaque, _ := p.tokens("opaque", alice)
	takes(alice, opaque, "by a token that is asked about")
	refuses(alice, id, "expected audience")
	refuses(alice, opaque+"x", "good for nothing")
	strange, _ := p.tokens("stranger", alice)
	refuses(alice, strange, "not among oidc.clients")
	others, _ := p.tokens("thunderbird", bob.Address)
	refuses(alice, others, "the token of another address")
	unverified, _ := p.tokens("thunderbird", "unverified@local.test")
	refuses("unverified@local.test", unverified, "has not verified the address")
	late, _ := p.tokens("opaque", alice)
	p.stop()
	takes(alice, signed, "by known keys while the provider is down")
	refuses(alice, late, "the provider does not say whether a token is good")
}
