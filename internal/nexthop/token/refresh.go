package token

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/oauth2"

	"sallyport/internal/kit/safefile"
)

// Keep is the folder in which refresh tokens lie that we were given in exchange for those
// of the configuration. RFC 6749 §6: the old one may be worth nothing afterwards.
type Keep string

// keptForm begins a file of a refresh token: the form, and the digest of the configured
// token that it came from. A token that the administrator writes into the configuration
// anew outranks what was kept.
const keptForm = "sallyport refresh token 1\n"

// path is where the token of an endpoint is kept: each client of each server has its own.
func (k Keep) path(e Endpoint) string {
	sum := sha256.Sum256([]byte(e.URL + "\n" + e.Client + "\n" + e.Scope))
	return filepath.Join(string(k), hex.EncodeToString(sum[:16]))
}

// load returns the token that is kept for an endpoint whose configured token is first; "":
// none. A file that cannot be read as one holds none.
func (k Keep) load(e Endpoint, first string) (string, error) {
	b, err := os.ReadFile(k.path(e))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	rest, ok := strings.CutPrefix(string(b), keptForm)
	from, kept, cut := strings.Cut(rest, "\n")
	if kept = strings.TrimSuffix(kept, "\n"); !ok || !cut || from != origin(first) || kept == "" || !plain(kept) {
		return "", nil
	}
	return kept, nil
}

// save keeps a token durably: when it returns without an error, a crash loses it no more.
func (k Keep) save(e Endpoint, first, token string) error {
	if err := safefile.MakeDir(string(k)); err != nil {
		return err
	}
	return safefile.Replace(k.path(e), fmt.Appendf(nil, "%s%s\n%s\n", keptForm, origin(first), token), 0o600)
}

func origin(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// refresh exchanges the refresh token for an access token, and keeps another refresh token
// that came with it before the access token is used.
func (s *Source) refresh(ctx context.Context, secret string) (*oauth2.Token, error) {
	first, err := line(s.at.RefreshFile)
	if err != nil {
		return nil, &Error{Text: "the refresh token cannot be read"}
	}
	kept, err := s.m.Keep.load(s.at, first)
	if err != nil {
		return nil, &Error{Text: "the refresh token that was given last cannot be read"}
	}
	tries := []string{first}
	if kept != "" {
		// The configured one may be good still, as after the folder came out of a backup.
		tries = []string{kept, first}
	}
	var got *oauth2.Token
	for _, t := range tries {
		got, err = s.exchange(ctx, secret, t)
		var refused *oauth2.RetrieveError
		if err == nil || !errors.As(err, &refused) || refused.ErrorCode != "invalid_grant" {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if next := got.RefreshToken; next != "" && next != kept && next != first {
		if len(next) > maxToken || !plain(next) {
			return nil, &Error{Text: s.host() + " gave a refresh token that cannot be used"}
		}
		if err := s.m.Keep.save(s.at, first, next); err != nil {
			return nil, &Error{Text: "a new refresh token cannot be kept: " + reason(err)}
		}
	}
	return got, nil
}

// reason leaves out the path of a file of ours.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

func (s *Source) exchange(ctx context.Context, secret, refresh string) (*oauth2.Token, error) {
	c := oauth2.Config{
		ClientID: s.at.Client, ClientSecret: secret, Scopes: strings.Fields(s.at.Scope),
		Endpoint: oauth2.Endpoint{TokenURL: s.at.URL, AuthStyle: s.at.Style.library()},
	}
	return c.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh}).Token()
}
