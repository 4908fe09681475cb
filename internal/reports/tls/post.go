package tls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"sallyport/internal/dnsx"
)

// Poster hands reports over by HTTPS. RFC 8460 §5.4
type Poster struct {
	// Client returns a client that reaches only this port of a host, whose name is given
	// by strangers and dialled by the rule for such names.
	Client func(host dnsx.Name, port uint16) *http.Client
	// Port is where web servers listen whose URL names none.
	Port uint16
}

// ErrPost says that a web server did not take a report.
var ErrPost = errors.New("the report was not taken")

// Post hands a report over.
func (p Poster) Post(ctx context.Context, where string, gz []byte) error {
	u, err := url.Parse(where)
	if err != nil {
		return err
	}
	host, err := dnsx.ParseName(u.Hostname())
	if err != nil {
		return err
	}
	port := uint64(p.Port)
	if u.Port() != "" {
		if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil {
			return err
		}
	}
	client := p.Client(host, uint16(port))
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, where, bytes.NewReader(gz))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/tlsrpt+gzip")
	// Some web servers refuse clients that do not say what they are.
	req.Header.Set("User-Agent", "sallyport")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("%w: %s", ErrPost, resp.Status)
	}
	return nil
}
