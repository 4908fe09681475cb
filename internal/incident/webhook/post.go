package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// refusedError says that the receiver does not take this one event; he may take others.
type refusedError struct{ error }

// silentError says that he takes nothing now.
type silentError struct{ error }

// client talks to one receiver: with a certificate that verifies, without redirects and
// proxies, and each time over a connection of its own.
func (h *Hook) client(s Settings) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            h.o.Dial,
			TLSClientConfig:        &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12},
			TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1 alone
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: int64(h.o.Limits.Answer),
		},
	}
}

// post tells one event. Whatever is not an answer of 2xx is an error, which never holds
// the path of the URL: some receivers keep a secret there.
func (h *Hook) post(ctx context.Context, s Settings, e event) error {
	ctx, cancel := context.WithTimeout(ctx, h.o.Limits.Try)
	defer cancel()
	body, err := e.body(h.o.Hostname, h.o.Limits.Body)
	if err != nil {
		return refusedError{err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL.String(), bytes.NewReader(body))
	if err != nil {
		return silentError{bare(err)}
	}
	id, at := e.id(h.o.Hostname), h.o.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "sallyport")
	req.Header.Set(headerID, id)
	req.Header.Set(headerTime, seconds(at))
	req.Header.Set(headerSignature, sign(s.Keys, id, at, body))
	resp, err := h.client(s).Do(req)
	if err != nil {
		return silentError{bare(err)}
	}
	defer resp.Body.Close()
	// What is answered beyond the status means nothing, and is read so that the receiver has
	// nothing to complain of.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, int64(h.o.Limits.Answer)))
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return silentError{fmt.Errorf("the receiver answers %d: redirects are not followed", code)}
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return silentError{fmt.Errorf("the receiver answers %d", code)}
	default:
		return refusedError{fmt.Errorf("the receiver answers %d", code)}
	}
}

// bare is an error without the URL that it happened at.
func bare(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
