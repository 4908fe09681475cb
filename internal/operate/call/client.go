package call

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"syscall"
)

// Client calls actions: those of a server, or of this process.
type Client struct{ over *http.Client }

// NewClient returns a Client whose requests go over a transport.
func NewClient(over http.RoundTripper) *Client { return &Client{&http.Client{Transport: over}} }

// Close ends kept connections.
func (c *Client) Close() { c.over.CloseIdleConnections() }

// post sends one request and returns the response if it is a success.
func (c *Client) post(ctx context.Context, action string, q any) (*http.Response, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	return c.send(ctx, action, bytes.NewReader(body))
}

// send sends one request with a body that is written already.
func (c *Client) send(ctx context.Context, action string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sallyport/v1/"+action, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.over.Do(req)
	if err != nil {
		return nil, unanswered(action, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var l last
	if err := json.NewDecoder(io.LimitReader(resp.Body, MaxRequest)).Decode(&l); err != nil || l.Error == nil {
		return nil, Internal("the server answered " + resp.Status + " to " + action)
	}
	return nil, l.Error
}

// unanswered says what the end of a connection means for who asked.
func unanswered(action string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("the server ended before it answered %s, which it may have done or not: look before you repeat it: %w", action, bare(err))
	}
	return bare(err)
}

// bare is an error of net/http without the address, which is made up.
func bare(err error) error {
	if whole := (*url.Error)(nil); errors.As(err, &whole) {
		return whole.Err
	}
	return err
}

// Do calls an action that returns one value.
func Do[A any](ctx context.Context, c *Client, action string, q any) (a A, err error) {
	resp, err := c.post(ctx, action, q)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return a, unanswered(action, err)
	}
	return a, nil
}

// Give calls an action that reads its request by itself.
func Give[A any](ctx context.Context, c *Client, action string, body io.Reader) (a A, err error) {
	resp, err := c.send(ctx, action, body)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return a, unanswered(action, err)
	}
	return a, nil
}

// Stream calls fn for each item of a listing; one that does not end as a whole
// listing does is an error.
func Stream[A any](ctx context.Context, c *Client, action string, q any, fn func(A) error) error {
	resp, err := c.post(ctx, action, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var line struct {
			Item *A `json:"item"`
			last
		}
		if err := dec.Decode(&line); err != nil {
			return fmt.Errorf("the listing ended early: %w", err)
		}
		switch {
		case line.Error != nil:
			return line.Error
		case line.End:
			return nil
		case line.Item == nil:
			return errors.New("the listing holds a line that is none")
		}
		if err := fn(*line.Item); err != nil {
			return err
		}
	}
}
