package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"

	"sallyport/internal/incident"
	localsocket "sallyport/internal/local/socket"
	"sallyport/internal/trace"
	"sallyport/internal/trace/query"
)

// ErrNoServer means that no server listens at the socket.
var ErrNoServer = errors.New("no server is running")

// Client calls the actions of an Operator, in a server or in this process. Its
// methods are those of Operator without the Caller, which the other end knows.
type Client struct {
	http *http.Client
}

// Direct returns a Client of an Operator in this process, acting as its user.
func Direct(op *Operator) *Client {
	return &Client{&http.Client{Transport: direct{Handler(op, uint32(os.Geteuid()))}}}
}

// Dial returns a Client of the server at a socket; ErrNoServer where nothing listens,
// and another error where something does that cannot be asked, or that may be no server
// of ours (socket.ErrUntrusted): passwords go this way. It connects once to find out.
func Dial(ctx context.Context, path string) (*Client, error) {
	c, err := localsocket.Dial(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w at %s: %w", ErrNoServer, path, err)
	case err != nil:
		return nil, fmt.Errorf("the server's socket %s cannot be used: %w", path, err)
	}
	if err := c.Close(); err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return localsocket.Dial(ctx, path)
	}}
	return &Client{&http.Client{Transport: transport}}, nil
}

// Close ends kept connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// AccountAdd calls Operator.AccountAdd.
func (c *Client) AccountAdd(ctx context.Context, r AccountAdd) (Account, error) {
	return call[Account](ctx, c, "account.add", r)
}

// AccountPassword calls Operator.AccountPassword.
func (c *Client) AccountPassword(ctx context.Context, r AccountPassword) (Account, error) {
	return call[Account](ctx, c, "account.passwd", r)
}

// AccountFreeze calls Operator.AccountFreeze.
func (c *Client) AccountFreeze(ctx context.Context, r AccountReason) (Account, error) {
	return call[Account](ctx, c, "account.freeze", r)
}

// AccountSet calls Operator.AccountSet.
func (c *Client) AccountSet(ctx context.Context, r AccountSet) (Account, error) {
	return call[Account](ctx, c, "account.set", r)
}

// AccountThaw calls Operator.AccountThaw.
func (c *Client) AccountThaw(ctx context.Context, r AccountRef) (Account, error) {
	return call[Account](ctx, c, "account.thaw", r)
}

// AccountRemove calls Operator.AccountRemove.
func (c *Client) AccountRemove(ctx context.Context, r AccountRef) (Account, error) {
	return call[Account](ctx, c, "account.rm", r)
}

// AccountRename calls Operator.AccountRename.
func (c *Client) AccountRename(ctx context.Context, r AccountRename) (Account, error) {
	return call[Account](ctx, c, "account.rename", r)
}

// AccountShow calls Operator.AccountShow.
func (c *Client) AccountShow(ctx context.Context, r AccountRef) (Account, error) {
	return call[Account](ctx, c, "account.show", r)
}

// AccountList calls Operator.AccountList.
func (c *Client) AccountList(ctx context.Context, fn func(Account) error) error {
	return stream(ctx, c, "account.ls", struct{}{}, fn)
}

// IncidentList calls Operator.IncidentList.
func (c *Client) IncidentList(ctx context.Context, r IncidentSelect, fn func(incident.Incident) error) error {
	return stream(ctx, c, "incident.ls", r, fn)
}

// IncidentShow calls Operator.IncidentShow.
func (c *Client) IncidentShow(ctx context.Context, r IncidentRef) (IncidentShown, error) {
	return call[IncidentShown](ctx, c, "incident.show", r)
}

// IncidentRelease calls Operator.IncidentRelease.
func (c *Client) IncidentRelease(ctx context.Context, r IncidentRelease) (IncidentEnd, error) {
	return call[IncidentEnd](ctx, c, "incident.release", r)
}

// IncidentPurge calls Operator.IncidentPurge.
func (c *Client) IncidentPurge(ctx context.Context, r IncidentPurge) (IncidentEnd, error) {
	return call[IncidentEnd](ctx, c, "incident.purge", r)
}

// DKIMList calls Operator.DKIMList.
func (c *Client) DKIMList(ctx context.Context, r DKIMRef, fn func(DKIMKey) error) error {
	return stream(ctx, c, "dkim.ls", r, fn)
}

// DKIMRotate calls Operator.DKIMRotate.
func (c *Client) DKIMRotate(ctx context.Context, r DKIMRef) (DKIMKeys, error) {
	return call[DKIMKeys](ctx, c, "dkim.rotate", r)
}

// DKIMCheck calls Operator.DKIMCheck.
func (c *Client) DKIMCheck(ctx context.Context, r DKIMRef) (DKIMKeys, error) {
	return call[DKIMKeys](ctx, c, "dkim.check", r)
}

// DKIMActivate calls Operator.DKIMActivate.
func (c *Client) DKIMActivate(ctx context.Context, r DKIMRef) (DKIMKeys, error) {
	return call[DKIMKeys](ctx, c, "dkim.activate", r)
}

// DKIMImport calls Operator.DKIMImport.
func (c *Client) DKIMImport(ctx context.Context, r DKIMImport) (DKIMKeys, error) {
	return call[DKIMKeys](ctx, c, "dkim.import", r)
}

// DKIMRemove calls Operator.DKIMRemove.
func (c *Client) DKIMRemove(ctx context.Context, r DKIMRef) (DKIMKeys, error) {
	return call[DKIMKeys](ctx, c, "dkim.rm", r)
}

// QueueList calls Operator.QueueList.
func (c *Client) QueueList(ctx context.Context, s Select, fn func(Message) error) error {
	return stream(ctx, c, "queue.ls", s, fn)
}

// QueueShow calls Operator.QueueShow.
func (c *Client) QueueShow(ctx context.Context, r QueueRef) (Message, error) {
	return call[Message](ctx, c, "queue.show", r)
}

// QueueHold calls Operator.QueueHold.
func (c *Client) QueueHold(ctx context.Context, r QueueChange) (QueueChanged, error) {
	return c.changed(ctx, "queue.hold", r)
}

// QueueRelease calls Operator.QueueRelease.
func (c *Client) QueueRelease(ctx context.Context, r QueueChange) (QueueChanged, error) {
	return c.changed(ctx, "queue.release", r)
}

// QueueRetry calls Operator.QueueRetry.
func (c *Client) QueueRetry(ctx context.Context, r QueueChange) (QueueChanged, error) {
	return c.changed(ctx, "queue.retry", r)
}

// QueueRemove calls Operator.QueueRemove.
func (c *Client) QueueRemove(ctx context.Context, r QueueChange) (QueueChanged, error) {
	return c.changed(ctx, "queue.rm", r)
}

// Trace calls Operator.Trace.
func (c *Client) Trace(ctx context.Context, q TraceQuery) (query.Answer, error) {
	return call[query.Answer](ctx, c, "trace", q)
}

// TraceVerify calls Operator.TraceVerify.
func (c *Client) TraceVerify(ctx context.Context) (trace.VerifyReport, error) {
	return call[trace.VerifyReport](ctx, c, "trace.verify", struct{}{})
}

// Status calls Operator.Status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, "status", struct{}{})
}

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
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var l last
	if err := json.NewDecoder(io.LimitReader(resp.Body, MaxRequest)).Decode(&l); err != nil || l.Error == nil {
		return nil, &Error{CodeInternal, "the server answered " + resp.Status + " to " + action}
	}
	return nil, l.Error
}

func call[A any](ctx context.Context, c *Client, action string, q any) (a A, err error) {
	resp, err := c.post(ctx, action, q)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	return a, json.NewDecoder(resp.Body).Decode(&a)
}

// stream calls fn for each item of a listing; one that does not end as a whole
// listing does is an error.
func stream[A any](ctx context.Context, c *Client, action string, q any, fn func(A) error) error {
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
